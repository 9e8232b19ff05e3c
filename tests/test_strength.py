"""The measures of exercises: a weak check is found weak, a flaky one flaky, waivers cannot rot, and the verdict is an exit status."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import course_lib.grading.strength as strength
from conftest import ROOT
from course_lib.grading.judge import HIDDEN_SEEDS
from course_lib.grading.mutants import RULES, mutants
from course_lib.grading.strength import below_bar, in_children, measure, measure_course, strength_page, strength_table, survivors_text
from course_lib.grading.variants import SEEDS
from course_lib.settings import CourseError, read_settings

REFERENCE = "def row_means(X): return X.mean(axis=1)"
WEAK = "expect(row_means, (np.array([[1.0, 3.0], [3.0, 1.0]]),), [2.0, 2.0])"
STRONG = """X = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 10.0]])
    wrong = {"axis": X.mean(axis=0), "sum-vs-mean": X.sum(axis=1), "wrong-denominator": X.sum(axis=1) / 2, "sign": -X.mean(axis=1), "wrong-reduction": np.median(X, axis=1)}
    expect(row_means, (X,), [3.0, 6.0], mistakes=[(tag, value, "Look again.") for tag, value in wrong.items()])
    ### BEGIN HIDDEN TESTS
    X = rng.normal(size=(3, 5))
    expect(row_means, (X,), np.array([sum(row) / len(row) for row in X]))
    ### END HIDDEN TESTS"""
CHAFFS = {"axis": "X.mean(axis=0)", "sum-vs-mean": "X.sum(axis=1)", "wrong-denominator": "X.sum(axis=1) / len(X)", "sign": "-X.mean(axis=1)", "wrong-reduction": "np.median(X, axis=1)"}
VARIANTS = "\n".join([*(f"@wheat(check_row_means)\ndef row_means(X): return {w}" for w in ("X @ np.ones(X.shape[1]) / X.shape[1]", "np.array([sum(r) / len(r) for r in X])")),
                      *(f"@chaff(check_row_means, {tag!r})\ndef row_means(X): return {body}" for tag, body in CHAFFS.items())])


def notebook(check=STRONG, own="", reference=REFERENCE):
    """An instructor's notebook with one exercise."""
    name = re.search(r"def (\w+)", reference)[1]
    def cell(id, source, tags=None, **grader):
        grader = dict(schema_version=3, grade_id=id, solution=False, grade=False, locked=False, task=False) | grader
        return dict(cell_type="code", id=id, source=source, metadata={"tags": ["instructor"]} if tags else {"nbgrader": grader}, outputs=[], execution_count=None)
    cells = [cell("setup", "import numpy as np\nfrom course_lib.checks import expect, require, run_check", locked=True), cell(name, reference, solution=True),
             cell(f"check-{name}", f"def check_{name}({name}, rng):\n    {check}\nrun_check(check_{name}, {name})", grade=True, points=4, locked=True),
             cell("own", "from course_lib.grading.variants import wheat, chaff, equivalent\n" + own, tags=True)]
    return json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5))


@pytest.fixture
def measured(tmp_path):
    """Measure the exercise of such a notebook."""
    def run(**parts):
        path = tmp_path / "sample.ipynb"
        path.write_text(notebook(**parts))
        rows, _ = measure(path)
        return rows[0]
    return run


@pytest.fixture
def small_course(tmp_path):
    """A course of one chapter, whose notebook is then written by the test."""
    text = (ROOT / "settings.ini").read_text(encoding="utf8")
    for section in ("chapters", "points", "deadlines"):
        text = re.sub(rf"(\[{section}\]\n[^\n]+\n)(?:[^\n]+\n)+", r"\1", text)
    (tmp_path / "settings.ini").write_text(text, encoding="utf8")
    (tmp_path / "README.md").write_text("# A course\n")
    (tmp_path / "solutions").mkdir()
    return tmp_path


def test_strong_check_is_at_the_bar(measured):
    row = measured(own=VARIANTS)
    assert below_bar(row) == [] and survivors_text(row) == []
    assert (row["wheats"], row["chaffs"], row["V"], row["T"], row["D"], row["M"], row["F"], row["N"]) == (2, 5, 1, 1, 1, 1, 0, 0)
    assert row["mutants"] > 5 and row["points"] == 4


def test_weak_check_is_found_weak(measured):
    """One symmetric input: the wrong axis survives as a mutant and as a chaff, and the visible answer is full points."""
    row = measured(check=WEAK, own=VARIANTS)
    assert any(s["after"] == "return X.mean(axis=0)" for s in row["survivors"])
    assert row["M"] < 0.9 and row["T"] < 1 and row["N"] == 4 and "visible answers by heart" in row["nulls"]
    assert {text.split()[1] for text in below_bar(row)} >= {"M", "T", "N"}
    assert any("axis" in line and line.startswith("T:") for line in survivors_text(row))


def test_rejected_wheat_is_counted(measured):
    """A check that insists on something the task does not ask."""
    row = measured(check=STRONG + "\n    require(isinstance(row_means(X), np.ndarray), 'an array')", own=VARIANTS.replace("np.array([sum(r) / len(r) for r in X])", "[sum(r) / len(r) for r in X]"))
    assert row["V"] == 0.5 and row["missed"]["V"] == ["wheat 2"]


def test_flaky_check_changes_verdicts(measured):
    row = measured(check="if rng.random() < 0.15: expect(row_means, (np.array([[1.0, 3.0], [3.0, 4.0]]),), [2.0, 3.5])", own=VARIANTS)
    assert row["F"] > 0 and "chaff 4 (sign)" in row["changing"] and any(t.startswith("row_means: F") for t in below_bar(row))


@pytest.mark.parametrize("after, says", [("return X.mean(axis=0)", "catches"), ("return X.std(axis=3)", "has no mutant")])
def test_stale_waiver_is_an_error(measured, after, says):
    with pytest.raises(CourseError, match=f"cell own raised WrongVerdict: check_row_means {says}"):
        measured(own=f"equivalent(check_row_means, 'return X.mean(axis=1)', {after!r}, 'no reason')")


def test_waived_mutant_is_not_counted(measured):
    """The first statement is overwritten, so leaving it out changes nothing."""
    reference, check = "def total(X):\n    s = 1\n    s = X.sum()\n    return s", "expect(total, (np.array([1.0, 5.0]),), 6.0)"
    row = measured(reference=reference, check=check)
    assert any((s["before"], s["after"]) == ("s = 1", "pass") for s in row["survivors"])
    waived = measured(reference=reference, check=check, own="equivalent(check_total, 's = 1', 'pass', 'it is overwritten')")
    assert waived["mutants"] == row["mutants"] - 1 and waived["M"] > row["M"] and [w["reason"] for w in waived["waived"]] == ["it is overwritten"]


def test_endless_and_greedy_mutants_are_stopped(measured):
    reference = "def halvings(n):\n    k = 0\n    while n > 1:\n        n = n // 2\n        k = k + 1\n    return k"
    row = measured(reference=reference, check="expect(halvings, (20,), 4)\n    expect(halvings, (1,), 0)")
    assert row["stopped"] > 0 and not any(s["after"] == "pass" for s in row["survivors"])


def test_children_end_whatever_they_do():
    def swallow():
        while True:
            try:
                while True: pass
            except BaseException: pass
    assert in_children([swallow, lambda: [0] * 10**12, lambda: sys.exit(0), lambda: 1 / 0, lambda: "fine"], seconds=0.2) == [None, None, None, None, "fine"]


def test_reference_that_fails_in_a_child_is_an_error(measured):
    """Otherwise all its mutants would look caught."""
    with pytest.raises(CourseError, match="unchanged reference fails"):
        measured(check="import multiprocessing\n    require(multiprocessing.parent_process() is None or 'Spawn' in type(multiprocessing.current_process()).__name__, 'never in a fork')", own="")


def test_seeds_are_the_judges():
    assert len(SEEDS) == HIDDEN_SEEDS


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in RULES}))
def test_every_rule_changes_something(kind):
    """Each kind of change is made of some reference of the course."""
    from course_lib.grading.notebook import read_source
    texts = [t for c in read_settings(ROOT).chapters for t in read_source(json.loads(c.solutions.read_text(encoding="utf8"))).solutions.values() if "def " in t]
    texts = [t for t in texts if t.lstrip().startswith("def ")] + ["def f(x, k):\n    while x > 1 and k: x -= 1\n    return k.T + x"]
    assert any(m.kind == kind for t in texts for m in mutants(t))


def test_unchanged_chapter_is_not_measured_again(small_course, monkeypatch):
    settings = read_settings(small_course)
    path = settings.chapters[0].solutions
    path.write_text(notebook(own=VARIANTS))
    calls, real = [], strength.measure
    monkeypatch.setattr(strength, "measure", lambda *a: calls.append(1) or real(*a))
    first = measure_course(settings, settings.chapters)
    nb = json.loads(path.read_text())
    nb["cells"][1]["outputs"] = [dict(output_type="stream", name="stdout", text="seen")]
    path.write_text(json.dumps(nb))
    assert measure_course(settings, settings.chapters) == first and len(calls) == 1
    path.write_text(notebook(own=VARIANTS, reference=REFERENCE.replace("X.mean", "1 * X.mean")))
    assert measure_course(settings, settings.chapters) != first and len(calls) == 2
    measure_course(settings, settings.chapters, again=True)
    assert len(calls) == 3


def test_page_shows_no_line_of_the_reference(measured, settings):
    row = measured(check=WEAK)
    known = {settings.chapter("03").name: dict(exercises=[row], conditions=strength.conditions())}
    page, table = strength_page(settings, known), strength_table(known)
    assert "X.mean" in table and "another constant" in page
    for s in row["survivors"]:
        assert s["before"] not in page and s["after"] not in page


def test_stored_measures_are_at_the_bar_and_current(settings):
    """results/strength.json belongs to the notebooks as they are, and the page is made from it."""
    known = strength.read_strength(settings.root)
    assert list(known) == [c.name for c in settings.chapters]
    assert [t for chapter in known.values() for row in chapter["exercises"] for t in below_bar(row)] == []
    assert (ROOT / "results" / "strength.md").read_text(encoding="utf8") == strength_page(settings, known)
    for chapter in settings.chapters:
        found = known[chapter.name]
        here = {k: v for k, v in strength.conditions().items() if k in ("python", "numpy", "torch")}
        if all(found["conditions"][k] == v for k, v in here.items()):
            assert found["key"] == strength.content_key(json.loads(chapter.solutions.read_text(encoding="utf8"))), f"run `course strength`: {chapter.name} has changed"


COURSE = [str(Path(sys.executable).with_name("course"))]


def run(folder, *words):
    return subprocess.run([*COURSE, "strength", *words], cwd=folder, env=os.environ | {"COURSE_ROOT": str(folder)}, capture_output=True, text=True, timeout=120)


def test_command_fails_below_the_bar_and_names_it(small_course):
    path = read_settings(small_course).chapters[0].solutions
    path.write_text(notebook(check=WEAK, own=VARIANTS))
    ran = run(small_course)
    assert ran.returncode == 1 and "X.mean(axis=0)" in ran.stdout
    assert re.fullmatch(r"course: below the bar: row_means: .*M = 0\.\d\d, at least 0\.9.*", ran.stderr.strip().splitlines()[-1])
    path.write_text(notebook(own=VARIANTS))
    ran = run(small_course, "--json")
    assert ran.returncode == 0, ran.stderr
    row, = json.loads(ran.stdout)[path.stem]["exercises"]
    headlines = json.loads((small_course / "results" / "headlines.json").read_text())
    assert row["M"] == 1 and headlines["strength_mutant_rate"]["value"] == 1 and headlines["strength_null_points"]["value"] == 0


@pytest.mark.parametrize("damage, says", [(b"{", "is not a notebook"), (None, "does not exist")])
def test_command_on_a_damaged_notebook(small_course, damage, says):
    path = read_settings(small_course).chapters[0].solutions
    if damage: path.write_bytes(damage)
    ran = run(small_course)
    assert ran.returncode == 1 and says in ran.stderr.strip().splitlines()[-1] and "Traceback" not in ran.stderr
    assert not (small_course / "results" / "strength.json").exists()
