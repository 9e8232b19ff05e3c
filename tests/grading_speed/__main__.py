"""python -m grading_speed: grade one class with nbgrader and with us, then 10, 100 and 1,000 submissions; record the headlines."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from course_lib.grading.classroom import find_submissions, grade_chapter
from course_lib.grading.gradebook import Gradebook
from course_lib.grading.notebook import role
from course_lib.results import machine, record, write_report
from course_lib.settings import Chapter, read_settings
from .classes import numpy_class, torch_class, write_class

ROOT = Path(__file__).parent.parent.parent
SETTINGS = read_settings(ROOT)
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"      # nbgrader calls alembic by name
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def as_chapter(folder, ours):
    """A chapter of a made-up course that holds this one notebook."""
    (folder / "solutions").mkdir(exist_ok=True)
    (folder / "solutions" / "work.ipynb").write_text(json.dumps(ours))
    return Chapter("work", "Work", 0, SETTINGS.chapters[0].deadline, folder)


def with_nbgrader(folder, ours, submissions, students):
    """Seconds of `nbgrader autograde` for the class, and the points of each student's exercises."""
    plain = {**ours, "cells": [{**c, "id": c.get("id", f"cell-{k}")} for k, c in enumerate(ours["cells"]) if role(c) != "instructor"]}
    (folder / "source" / "work").mkdir(parents=True)
    (folder / "source" / "work" / "work.ipynb").write_text(json.dumps(plain))
    write_class(folder / "flat", "work", submissions, students)
    for student in (folder / "flat").iterdir():
        target = folder / "submitted" / student.name / "work"
        target.mkdir(parents=True)
        shutil.copy(student / "work.ipynb", target)
    nbgrader = str(Path(sys.executable).with_name("nbgrader"))
    run = lambda *args: subprocess.run([nbgrader, *args], cwd=folder, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    made = run("generate_assignment", "work")
    if made.returncode: sys.exit(f"nbgrader generate_assignment failed: {made.stderr[-2000:]}")
    begin = time.monotonic()
    graded = run("autograde", "work")
    seconds = time.monotonic() - begin
    if graded.returncode: sys.exit(f"nbgrader autograde failed: {graded.stderr[-2000:]}")
    from nbgrader.api import Gradebook as NbgraderBook
    with NbgraderBook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return seconds, {s.student.id: {g.name: g.auto_score for n in s.notebooks for g in n.grades if g.cell.cell_type == "code"} for s in book.assignment_submissions("work")}


GRADE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from grading_speed.__main__ import ours_alone
print("RESULT", json.dumps(ours_alone(sys.argv[2], int(sys.argv[3]))))
"""


def ours_alone(folder, workers):
    """Grade the class of a folder in this process: seconds from the first result to the last, and the coordinator's memory in MB."""
    folder, moments = Path(folder), []
    chapter, book = Chapter("work", "Work", 0, SETTINGS.chapters[0].deadline, folder), Gradebook(f"sqlite:///{folder / 'ours.db'}")
    def watch(items, total):
        for item in items: moments.append(time.monotonic()); yield item
    graded = grade_chapter(chapter, find_submissions(folder / "submitted", chapter), book, SETTINGS.grading, workers=workers, progress=watch)
    memory = next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return dict(steady=moments[-1] - moments[0], memory=memory, points={s: {o.exercise: o.points for o in outcomes} for s, outcomes in graded.items()})


def with_us(folder, ours, submissions, students, workers):
    """Seconds of a whole grading run in a process of its own, and what it says."""
    folder.mkdir()
    as_chapter(folder, ours)
    write_class(folder / "submitted", "work", submissions, students)
    begin = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", GRADE, str(ROOT / "tests"), str(folder), str(workers)], capture_output=True, text=True)
    seconds = time.monotonic() - begin
    if "RESULT" not in ran.stdout: sys.exit(ran.stderr[-2000:])
    return seconds, json.loads(ran.stdout.rpartition("RESULT")[2])


def compare(home, name, ours, submissions, students):
    """Both on one worker; returns seconds of each. Exits if a mark differs."""
    theirs, marks = with_nbgrader(home / f"{name}-nbgrader", ours, submissions, students)
    seconds, result = with_us(home / f"{name}-ours", ours, submissions, students, workers=1)
    mine = {s: {e: p for e, p in points.items() if p is not None} for s, points in result["points"].items()}
    nbgraders = {s: {e.removeprefix("check-"): p for e, p in points.items()} for s, points in marks.items()}
    if mine != nbgraders: sys.exit(f"{name}: marks differ: {[(s, mine[s], nbgraders.get(s)) for s in mine if mine[s] != nbgraders.get(s)][:3]}")
    print(f"{name}: {students} submissions, same marks; nbgrader {theirs:.1f} s, we {seconds:.1f} s, {theirs / seconds:.1f} times as fast")
    return theirs, seconds


def main():
    given = f"whole command, start included, one worker each, one thread, same marks; {machine('nbgrader', 'numpy', 'torch')}"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        kinds = {"numpy": (*numpy_class(SETTINGS.chapter("03")), 60, "at least 10", "chapter 03"), "torch": (*torch_class(), 80, "at least 30", "two exercises whose cells import torch")}
        for name, (ours, submissions, students, bar, what) in kinds.items():
            theirs, seconds = compare(home, name, ours, submissions, students)
            record(f"grading_speedup_{name}", round(theirs / seconds, 1), "times as fast", bar, f"{what}, {students} submissions, nbgrader autograde {theirs:.0f} s, course grade {seconds:.1f} s; {given}", "make measure")
        costs = {}
        for students in (10, 100, 1000):
            seconds, result = with_us(home / f"class-{students}", *kinds["numpy"][:2], students, workers=2)
            costs[students] = result["steady"] / (students - 1)
            print(f"{students} submissions on 2 workers: {seconds:.1f} s, {costs[students] * 1000:.0f} ms each, coordinator {result['memory']:.0f} MB")
        flat = ", ".join(f"{c * 1000:.0f} ms at {n}" for n, c in costs.items())
        record("grading_1000_seconds", round(seconds, 1), "s", "at most 90", f"1,000 submissions of chapter 03, 2 workers; each costs {flat}; coordinator {result['memory']:.0f} MB; {machine('numpy')}", "make measure")
    write_report(ROOT)


if __name__ == "__main__":
    main()
