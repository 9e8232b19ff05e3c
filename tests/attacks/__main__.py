"""`python -m tests.attacks` tries every attack on our judge and prints the counts as JSON; with --proofs it first shows that each works on the unprotected runner.

Exit status 1 if an attack gained points, changed something outside, stopped the class or left a process, or if a proof failed.
"""
import json
import sys

from tqdm import tqdm

from .base import try_naive
from .run import judge
from .suite import ATTACKS, summary


def main():
    bar = lambda attacks: tqdm(list(attacks), file=sys.stderr, disable=None)
    failed = [a.id for a in bar(ATTACKS) if a.proof and not try_naive(a).shown[a.proof]] if "--proofs" in sys.argv else None
    with judge() as (grade, grade_folder):
        found = summary(grade, grade_folder, progress=bar)
    print(json.dumps(found | ({} if failed is None else {"proofs_failed": failed}), indent=1))
    return bool(failed) or any(found["worked"].values())


if __name__ == "__main__":
    sys.exit(main())
