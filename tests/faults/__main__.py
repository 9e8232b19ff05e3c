"""python -m faults [RUNS]: run trials of every kind, print what differs, record the headlines."""
import random
import sys
import tempfile
import time
from collections import Counter

from tqdm import tqdm

from course_lib.results import machine, record, write_report
from . import STUDENTS, Class
from .trial import possible, run


def main(runs):
    kinds, wrong, done, seed = possible(), {}, Counter(), random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory() as home:
        the_class = Class(home)
        for k in tqdm(range(runs), "faults"):
            kind = kinds[k % len(kinds)]
            if found := run(the_class, kind, seed + k): wrong[f"{kind}, seed {seed + k}"] = found
            done[kind] += 1
    for name, found in wrong.items(): print(name, *found, sep="\n  ")
    given = ", ".join(f"{n} x {kind}" for kind, n in done.items()) + f"; {STUDENTS} submissions, 2 workers, each fault at a random moment; {machine('numpy', 'distributed')}"
    record("grading_fault_runs", runs, "runs", "at least 100", given, "make measure")
    record("grading_fault_differences", len(wrong), "runs", "0", "runs after which a grade, a count or an original differs, or a process survives; " + given, "make measure")
    write_report()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 102))
