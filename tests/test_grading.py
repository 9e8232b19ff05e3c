"""The judge, the sandbox and the gradebook: hostile and broken submissions gain nothing, change nothing, stop nothing."""
import json
import os
import time

import pytest

from conftest import needs_sandbox
from course_lib.grading.classroom import find_submissions, grade_chapter, grade_rows
from course_lib.grading.gradebook import Gradebook
from course_lib.grading.grader import Grader, grade_submission
from course_lib.grading.release import merge, student_version
from course_lib.settings import CourseError, Limits

LIMITS = Limits(seconds_per_cell=4, seconds_per_check=4, seconds_per_submission=30, memory_mb=2048, processes=16, file_mb=4, reply_mb=2, notebook_mb=2)
CHECK = """def check_mean(mean, rng):
    expect(mean, ([1.0, 2.0, 6.0],), 3.0, mistakes=[("sum-vs-mean", 9.0, "Divide by the number of values.")])
    ### BEGIN HIDDEN TESTS
    x = list(rng.normal(size=7))
    expect(mean, (x,), sum(x) / 7, hint="It has to work for any number of values.")
    ### END HIDDEN TESTS
run_check(check_mean, mean)"""


def cell(text, grade_id=None, **meta):
    grader = dict(schema_version=3, grade_id=grade_id, grade=False, solution=False, locked=False, task=False) | meta
    return dict(cell_type="code", id=grade_id or "own", source=text, metadata={"nbgrader": grader} if grade_id else {}, outputs=[], execution_count=None)


def notebook(answer="def mean(x): return sum(x) / len(x)", *more):
    return dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        cell("from course_lib.checks import expect, run_check", "setup", locked=True), *[cell(t) for t in more],
        cell(answer, "mean", solution=True), cell(CHECK, "check-mean", grade=True, points=4, locked=True)])


OURS = notebook()


def grade(answer, *more, limits=LIMITS):
    data = answer if isinstance(answer, bytes) else json.dumps(notebook(answer, *more)).encode()
    return grade_submission(data, OURS, 7, limits)[0]


HONEST = {
    "plain": ("def mean(x): return sum(x) / len(x)",),
    "numpy": ("import numpy as np\ndef mean(x): return np.mean(x)",),
    "prints and warns": ("import warnings\ndef mean(x):\n    print('x' * 10**7); warnings.warn('careful')\n    return sum(x) / len(x)",),
    "own helper cell": ("def mean(x): return total(x) / len(x)", "def total(x): return sum(x)"),
    "broken extra cell": ("def mean(x): return sum(x) / len(x)", "1 / 0"),
    "extra cell that never ends": ("def mean(x): return sum(x) / len(x)", "while True: pass"),
}

NULLS = {"constant": "def mean(x): return 3.0", "no function": "mean = 3.0", "nothing": "", "syntax error": "def mean(x) return 3"}   # attacks are in test_attacks.py


@needs_sandbox
@pytest.mark.parametrize("name", HONEST)
def test_honest_work_gets_full_marks(name):
    outcome = grade(*HONEST[name])
    assert (outcome.points, outcome.status) == (4, "passed"), outcome


@needs_sandbox
@pytest.mark.parametrize("name", NULLS)
def test_null_answers_get_nothing(name):
    outcome = grade(NULLS[name])
    assert outcome.points == 0 and outcome.status == "failed", outcome


BROKEN = {"no JSON": b"\x80\x04", "empty": b"", "a list": b"[]", "no cells": b"{}", "cells that are numbers": b'{"cells": [1]}', "source is a number": b'{"cells": [{"cell_type": "code", "source": 5, "metadata": {}}]}',
          "source is a list of numbers": b'{"cells": [{"cell_type": "code", "source": [5], "metadata": {}}]}', "deep": b"[" * 10**6, "huge": b" " * (3 << 20), "metadata is a list": b'{"cells": [{"cell_type": "code", "source": "", "metadata": []}]}'}


@needs_sandbox
@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_have_a_status(name):
    outcome = grade(BROKEN[name])
    assert outcome.points == 0 and outcome.status in ("unreadable", "missing cell") and outcome.message


@needs_sandbox
@pytest.mark.parametrize("grade_id", [[], {}, None, 5, "mean\x00"])
def test_forged_metadata_has_a_status(grade_id):
    forged = notebook()
    forged["cells"][1]["metadata"]["nbgrader"]["grade_id"] = grade_id
    assert grade(json.dumps(forged).encode()).status == "missing cell"


@needs_sandbox
def test_a_submission_cannot_sleep_its_way_through_the_class():
    """Many slow cells: the limit of the whole submission holds while the cells load."""
    begin = time.monotonic()
    limits = Limits(**vars(LIMITS) | {"seconds_per_submission": 5})
    assert grade(HONEST["plain"][0], *["import time; time.sleep(1.5)"] * 20, limits=limits).status == "timeout"
    assert time.monotonic() - begin < 15


@needs_sandbox
def test_one_exercise_cannot_tell_the_hidden_inputs_of_another():
    """What the first function saw is gone when the second one runs."""
    two = notebook("seen = []\ndef mean(x):\n    seen.append(x)\n    return sum(x) / len(x)")
    second = CHECK.replace("check_mean", "check_total").replace("(mean", "(total").replace(" mean)", " total)").replace("3.0", "9.0").replace("9.0, \"Div", "3.0, \"Div").replace("sum(x) / 7", "sum(x)")
    ours = json.loads(json.dumps(two))
    for nb, answer in ((ours, "def total(x): return sum(x)"), (two, "def total(x): raise ValueError(repr(seen))")):
        nb["cells"] += [cell(answer, "total", solution=True), cell(second, "check-total", grade=True, points=2, locked=True)]
    first, last = grade_submission(json.dumps(two).encode(), ours, 7, LIMITS)
    assert first.points == 4 and last.points == 0 and "[]" in last.message


@needs_sandbox
def test_a_lent_function_may_call_back():
    """The second exercise hands its own function to the first one's reference, as honest work does."""
    apply, check = "def apply(f, x): return f(x)", "def check_apply(apply, rng):\n    expect(apply, (abs, -2), 2)\nrun_check(check_apply, apply)"
    twice, check2 = "def twice(x): return apply(lambda v: 2 * v, x)", "def check_twice(twice, rng):\n    expect(twice, (4,), 8)\nrun_check(check_twice, twice)"
    ours = dict(OURS, cells=[OURS["cells"][0], cell(apply, "apply", solution=True), cell(check, "check-apply", grade=True, points=1, locked=True),
                             cell(twice, "twice", solution=True), cell(check2, "check-twice", grade=True, points=1, locked=True)])
    assert [o.points for o in grade_submission(json.dumps(ours).encode(), ours, 7, LIMITS)] == [1, 1]


@needs_sandbox
def test_a_judge_that_runs_out_of_time_is_an_outcome():
    """A student hands the reference of an earlier exercise a task that never ends; the class goes on."""
    power, check = "def power(a, b): return a ** b", "def check_power(power, rng):\n    expect(power, (2, 5), 32)\nrun_check(check_power, power)"
    ours = dict(OURS, cells=[OURS["cells"][0], cell(power, "power", solution=True), cell(check, "check-power", grade=True, points=1, locked=True), *OURS["cells"][1:]])
    theirs = json.loads(json.dumps(ours))
    theirs["cells"][3]["source"] = "def mean(x): return power(7, 10**9)"
    limits = Limits(**vars(LIMITS) | {"seconds_per_submission": 3})
    assert [(o.points, o.status) for o in grade_submission(json.dumps(theirs).encode(), ours, 7, limits)] == [(1, "passed"), (0, "timeout")]


@needs_sandbox
def test_check_cells_of_the_submission_are_never_read():
    tampered = notebook("def mean(x): return 0.0")
    tampered["cells"][-1]["source"] = "def check_mean(mean, rng): pass\nrun_check(check_mean, mean)"
    tampered["cells"][-1]["metadata"]["nbgrader"]["points"] = 1000
    assert grade(json.dumps(tampered).encode()).points == 0


@needs_sandbox
def test_duplicate_and_missing_answers():
    twice = notebook(); twice["cells"].append(twice["cells"][1])
    assert grade(json.dumps(twice).encode()).status == "duplicate cell"
    none = notebook(); del none["cells"][1]
    assert grade(json.dumps(none).encode()).status == "missing cell"


@needs_sandbox
def test_hidden_failures_show_no_input():
    """The message of a hidden check holds neither the input, the expected value nor the check's text."""
    outcome = grade("def mean(x):\n    assert len(x) < 7, repr(x)\n    return sum(x) / len(x)")
    assert outcome.points == 0 and outcome.message.startswith("A hidden check did not hold")
    assert not any(c.isdigit() for c in outcome.message) and "rng" not in outcome.message


def classroom(tmp_path, settings, answers):
    from dataclasses import replace
    chapter = replace(settings.chapter("03"), root=tmp_path)
    chapter.solutions.parent.mkdir(parents=True)
    chapter.solutions.write_text(json.dumps(OURS))
    for student, answer in answers.items():
        path = tmp_path / "submitted" / student / f"{chapter.name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook(answer)))
    return chapter, tmp_path / "submitted", Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}")


@needs_sandbox
def test_a_class_is_graded_once_and_again_when_something_changes(tmp_path, settings):
    chapter, folder, book = classroom(tmp_path, settings, {"right": HONEST["plain"][0], "wrong": NULLS["constant"]})
    (folder / "folder" / f"{chapter.name}.ipynb").mkdir(parents=True)
    (folder / "linked").mkdir(); (folder / "linked" / f"{chapter.name}.ipynb").symlink_to(folder / "right" / f"{chapter.name}.ipynb")
    again = lambda **k: set(grade_chapter(chapter, find_submissions(folder, chapter), book, LIMITS, **k))
    everybody = {"right", "wrong", "linked", "folder"}
    assert again() == everybody and again() == set() and again(regrade=True) == everybody
    assert {r["student"]: (r["points"], r["by_hand"]) for r in grade_rows(book, chapter)} == {"right": (4, 0), "wrong": (0, 0), "linked": (0, 1), "folder": (0, 1)}
    path = folder / "wrong" / f"{chapter.name}.ipynb"
    path.write_text(json.dumps(notebook(HONEST["numpy"][0])))
    assert again() == {"wrong"} and {r["student"]: r["points"] for r in grade_rows(book, chapter)}["wrong"] == 4


def test_no_sandbox_is_refused_and_says_what_to_do(tmp_path, settings, monkeypatch):
    chapter, folder, book = classroom(tmp_path, settings, {"right": HONEST["plain"][0]})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))     # the grader's process finds no Landlock either
    (tmp_path / "landlock.py").write_text("raise ImportError")
    with pytest.raises(CourseError, match="bubblewrap.*Landlock.*--unsafe-no-sandbox"):
        grade_chapter(chapter, find_submissions(folder, chapter), book, LIMITS)
    assert book.latest(chapter.name) == {}
    grade_chapter(chapter, find_submissions(folder, chapter), book, LIMITS, safe=False)
    assert [(r["points"], r["sandbox"] == "none") for r in grade_rows(book, chapter)] == [(4, True)]


def test_a_new_release_keeps_the_students_work():
    """Changed answers, added cells and the answer to a withdrawn exercise stay; tasks and checks are the new ones."""
    def source(body, task, check="# 1"):
        answer = f"def mean(x):\n    ### BEGIN SOLUTION\n    {body}\n    ### END SOLUTION"
        md = dict(cell_type="markdown", id="task", source=task, metadata=cell("", "task", locked=True)["metadata"])
        return dict(nbformat=4, nbformat_minor=5, metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
                    cells=[md, cell(answer, "mean", solution=True), cell(CHECK + check, "check-mean", grade=True, points=4, locked=True)])
    student = student_version(source("return 1.0 * 2.0", "old task"))
    student["cells"][1]["source"] = "def mean(x): return 'my work'"
    student["cells"].insert(1, cell("my_helper = 1"))
    new = student_version(source("return 3.0 * 4.0", "new task", "# 2"))
    merged = ["".join(c["source"]) for c in merge(new, student)["cells"]]
    assert merged == ["new task", "my_helper = 1", "def mean(x): return 'my work'", "".join(new["cells"][2]["source"])]
    assert merge(student_version(source("x = 1", "t")), student)["cells"][2]["source"] == "def mean(x): return 'my work'"


@needs_sandbox
def test_a_notebook_of_another_chapter_is_named(tmp_path, settings):
    other = json.loads(json.dumps(notebook()).replace('"mean"', '"median"').replace("check-mean", "check-median"))
    assert "notebook of another one" in grade(json.dumps(other).encode()).message


@needs_sandbox
def test_a_class_is_not_graded_with_checks_that_our_own_answers_fail(tmp_path, settings):
    chapter, folder, book = classroom(tmp_path, settings, {"right": HONEST["plain"][0]})
    broken = json.loads(chapter.solutions.read_text())
    broken["cells"][-1]["source"] = CHECK.replace("sum(x) / 7", "sum(x) / 8")
    chapter.solutions.write_text(json.dumps(broken))
    with pytest.raises(CourseError, match="not graded, since its own answers fail: mean"):
        grade_chapter(chapter, find_submissions(folder, chapter), book, LIMITS)
    broken["cells"][-1]["source"] = "def check_mean(mean, rng:"
    chapter.solutions.write_text(json.dumps(broken))
    with pytest.raises(CourseError, match="a check cell is no Python"):
        grade_chapter(chapter, find_submissions(folder, chapter), book, LIMITS)
    assert book.latest(chapter.name) == {}


@needs_sandbox
def test_a_deadline_that_moves_counts(tmp_path, settings):
    from dataclasses import replace
    from datetime import datetime, timedelta, timezone
    chapter, folder, book = classroom(tmp_path, settings, {"right": HONEST["plain"][0]})
    now = datetime.now(timezone.utc)
    for deadline, late in ((now - timedelta(days=1), True), (now + timedelta(days=1), False)):
        grade_chapter(replace(chapter, deadline=deadline), find_submissions(folder, chapter), book, LIMITS)
        assert book.latest(chapter.name)["right"][0].late == late
    assert grade_chapter(replace(chapter, deadline=now + timedelta(days=2)), find_submissions(folder, chapter), book, LIMITS) == {}


def test_two_folders_that_look_alike_are_refused(tmp_path, settings):
    chapter, folder, _ = classroom(tmp_path, settings, {"a": HONEST["plain"][0]})
    for name in (b"\xff", b"\\xff"): os.mkdir(os.path.join(os.fsencode(folder), name))
    with pytest.raises(CourseError, match="look the same"): find_submissions(folder, chapter)


@needs_sandbox
def test_the_hidden_inputs_differ_by_exercise_and_attempt():
    """Two exercises with the same hidden draw see different numbers."""
    from course_lib.grading import judge
    inputs = []
    for name in ("a", "b"):
        for attempt in (0, 1):
            x = type("X", (), dict(name=name, points=1))()
            reference = type("R", (), dict(check=lambda self, e, part: lambda f, rng: inputs.append(rng.normal()) if part else None))()
            assert judge._judge_one(x, reference, [None], (3, attempt)).points == 1
    assert len(set(inputs)) == len(inputs) == 4 * judge.HIDDEN_SEEDS


@needs_sandbox
def test_all_layers_that_the_kernel_has_are_on(settings):
    """An error that some other call left behind must not look like a kernel without Landlock."""
    import ctypes
    from course_lib.grading.sandbox import landlock_version, layers, sandbox_plan
    if not landlock_version(): pytest.skip("this kernel has no Landlock")
    ctypes.set_errno(38)
    assert landlock_version() and "Landlock" in layers(sandbox_plan(settings.grading))
    outcome = grade("import os\ndef mean(x):\n    os.mkdir('/w/' + 'd'); return sum(x) / len(x) if not landlocked() else 0", "def landlocked():\n    try: os.listdir('/'); return False\n    except PermissionError: return True")
    assert outcome.points == 0, "the root folder is not among the readable ones, so Landlock forbids to list it"
