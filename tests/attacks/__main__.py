"""`python -m attacks` tries every attack on our judge, prints the counts as JSON and records them; with --proofs it first shows that each works on the unprotected runner.

Exit status 1 if an attack gained points, changed something outside, stopped the class or left a process, or if a proof failed.
"""
import json
import sys

from tqdm import tqdm

from course_lib.grading.sandbox import layers, sandbox_plan
from course_lib.results import machine, record, write_report
from course_lib.settings import read_settings
from .base import try_naive
from .run import judge
from .suite import ATTACKS, summary


def main():
    bar = lambda attacks: tqdm(list(attacks), file=sys.stderr, disable=None)
    failed = [a.id for a in bar(ATTACKS) if a.proof and not try_naive(a).shown[a.proof]] if "--proofs" in sys.argv else None
    with judge() as (grade, grade_folder):
        found = summary(grade, grade_folder, progress=bar)
    given = ", ".join(f"{n['total']} {family}" for family, n in found["families"].items()) + f"; sandbox: {layers(sandbox_plan(read_settings().grading))}; {machine('numpy')}"
    record("grading_attacks_total", found["total"], "submissions", "at least 45", given, "make measure")
    record("grading_attacks_gained", found["gained"], "submissions", "0", f"changed {found['changed']}, stopped {found['stopped']}, survived {found['survived']}; " + given, "make measure")
    write_report()
    print(json.dumps(found | ({} if failed is None else {"proofs_failed": failed}), indent=1))
    return bool(failed) or any(found["worked"].values())


if __name__ == "__main__":
    sys.exit(main())
