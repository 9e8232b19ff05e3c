"""The student's instant feedback: check cells, the progress display, and `course check`."""
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import course_lib.checks as checks
from conftest import SETTINGS
from course_lib.checks import VERDICT, CheckFailed, Verdict, call, expect, expect_raises, recording, require, run_check
from course_lib.grading.hidden import hidden_count, hidden_problems
from course_lib.grading.notebook import cell_text, role
from course_lib.progress import Progress, items, results, store_of, table
from course_lib.selfcheck import check_notebook, done, edited, finding_text

COURSE = [str(Path(sys.executable).with_name("course"))]


def load(path):
    return json.loads(path.read_text(encoding="utf8"))


def double(x):
    return 2 * x


# Steps

def test_steps_are_recorded_in_order_and_a_failure_last():
    with recording() as steps:
        expect(double, (3,), 6)
        require(True, "never said", asked="two is even")
        require(True, "never said")
        expect_raises(lambda x: x + 1, ("a",), (TypeError, ValueError))
        call(double, 1)
        with pytest.raises(CheckFailed):
            expect(double, (3,), 7)
        assert steps == [("double(3) gives 6", True), ("two is even", True), ("a further property holds", True),
                         ("function('a') raises TypeError or ValueError", True), ("double(1) returns", True), ("double(3) gives 7", False)]


@pytest.mark.parametrize("failing", [
    lambda: require(False, "no"), lambda: expect_raises(double, (1,), ValueError), lambda: expect_raises(lambda x: x.y, (1,), ValueError),
    lambda: call(lambda: 1 / 0), lambda: expect(lambda x: 1 / 0, (1,), 1), lambda: expect(lambda x: None, (1,), 1),
    lambda: expect(lambda x: x.sort(), ([2, 1],), None) and None or expect(lambda x: x.__setitem__(0, 9), (np.ones(2),), None)])
def test_every_kind_of_failure_is_a_step(failing):
    with recording() as steps, pytest.raises(CheckFailed):
        failing()
    assert steps[-1][1] is False


def test_a_lost_worker_is_a_step_that_did_not_hold():
    """The judge's WorkerLost is no Exception; the step it happened in is still named."""
    class Lost(BaseException):
        pass
    def gone(x):
        raise Lost
    with recording() as steps, pytest.raises(Lost):
        expect(gone, (1,), 1)
    assert steps == [("gone(1) gives 1", False)]


def test_recorders_do_not_mix():
    with recording() as outer:
        expect(double, (1,), 2)
        with recording() as inner:
            expect(double, (2,), 4)
        expect(double, (3,), 6)
    expect(double, (4,), 8)
    assert [t for t, _ in outer] == ["double(1) gives 2", "double(3) gives 6"] and [t for t, _ in inner] == ["double(2) gives 4"]


def test_a_passed_step_holds_nothing_of_the_student():
    """Neither what came back, nor a changed argument, nor a chosen function name."""
    class Answer(float):
        def __repr__(self):
            return "<b>mine</b>"
    def student(values):
        return Answer(1.0)
    student.__name__ = "<script>mine</script>"
    with recording() as steps:
        expect(student, ([1.0, 2.0],), 1.0)
        expect(lambda values: values.append("mine") or 3.0, ([1.0, 2.0],), 3.0, in_place=True)
    assert [held for _, held in steps] == [True, True] and not any("mine" in text for text, _ in steps)


def test_no_text_is_made_when_nobody_listens(monkeypatch):
    monkeypatch.setattr(checks, "show", lambda value: pytest.fail("text was made"))
    X = np.ones((50, 40))
    expect(double, (X,), 2 * X, mistakes=[("sign", -X, "")])
    expect_raises(double, (object(),), TypeError)
    require(True, "")
    assert call(double, 2) == 4


# Comparing

def test_comparison_is_that_of_numpy():
    rng, special = np.random.default_rng(0), [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-13, 1e300, 1 + 1e-10, 1 + 1e-8, 1.0]
    for _ in range(500):
        g, w = rng.choice(special, 6), rng.choice(special, 6)
        assert (checks._close(g, w, 1e-9, 1e-12) == np.isclose(g, w, rtol=1e-9, atol=1e-12, equal_nan=True)).all(), (g, w)
    assert checks._close(np.array([True]), np.array([True]), 1e-9, 0).all() and not checks._close(np.array([False]), np.array([True]), 1e-9, 0).any()
    assert not checks._close(np.array([250], np.uint8), np.array([251], np.uint8), 1e-9, 0).any()


def test_a_changed_argument_does_not_change_the_oracle():
    """`want` may be the very array that is handed in."""
    def negate(x):
        x *= -1
        return x
    x = np.array([1.0, 2.0])
    with pytest.raises(CheckFailed, match=r"returned \[-1., -2.\]"):
        expect(negate, (x,), x)
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(CheckFailed) as failed:
        expect(negate, (x,), -x)
    assert failed.value.tag == "in-place-aliasing"
    expect(negate, (x,), -x, in_place=True)
    assert x.tolist() == [-1.0, -2.0]


def test_failure_facts():
    with pytest.raises(CheckFailed) as failed:
        expect(lambda x: x + 1.0, (np.zeros((2, 2)),), np.array([[1.0, 1.0], [1.0, 3.0]]), hint="Look at the last entry.")
    facts = failed.value.facts
    assert facts["called"] == "function([[0., 0.], [0., 0.]])" and "(shape (2, 2), float64)" in facts["got"] and facts["expected"].startswith("[[1., 1.], [1., 3.]]")
    assert "First difference at [1, 1]: 1 instead of 3; largest error 2" in facts["difference"] and failed.value.hint == "Look at the last entry."


def test_an_error_points_to_the_students_line(run_cells):
    """Not to a helper of the check, and not into a library."""
    outputs = run_cells("import numpy as np\nfrom course_lib.checks import expect, run_check",
                        "def first(x):\n    y = x + 1\n    return y / np.linalg.inv(y)",
                        "def check_first(first, rng):\n    def helper(x): return first(x)\n    expect(helper, (np.zeros((2, 3)),), 1)\nrun_check(check_first, first)")[-1]
    message = next(o["metadata"][VERDICT]["message"] for o in outputs if o["output_type"] == "display_data")
    assert message.splitlines()[1:] == ["  line 3 of first: return y / np.linalg.inv(y)"], message


# What a check cell shows

class Tags(HTMLParser):
    """Tags and attributes of a page, and its text."""
    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data):
        self.text += data


EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">\'"&amp;'


def test_html_is_escaped_everywhere():
    failed = CheckFailed(f"called {EVIL}\nsecond {EVIL}", "tag", EVIL, called=EVIL, got=EVIL, expected=EVIL)
    plain = CheckFailed(EVIL)
    for f in (failed, plain, None):
        page = Tags(Verdict(EVIL, ((EVIL, True), (EVIL, False)), f, (EVIL,), 2, 3, EVIL)._repr_html_())
        assert {tag for tag, _ in page.tags} <= {"div", "b"} and {name for _, names in page.tags for name in names} <= {"style"}
        assert page.text.count(EVIL) >= 5, page.text
    cell = dict(cell_type="markdown", source=f"## {EVIL}", metadata={})
    check = dict(cell_type="code", source="", metadata={"nbgrader": dict(grade_id="check-f", grade=True, points=EVIL)})
    page = Tags(table(items(dict(cells=[cell, check])), {}))
    assert {tag for tag, _ in page.tags} <= {"table", "tr", "td", "b", "span", "div"} and EVIL in page.text


@pytest.fixture(scope="module")
def run_cells(tmp_path_factory):
    """Outputs of cells in a real kernel."""
    import nbformat
    from nbclient import NotebookClient
    def run(*cells):
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        NotebookClient(nb, timeout=60, allow_errors=True, kernel_name="python3", resources={"metadata": {"path": str(tmp_path_factory.mktemp("kernel"))}}).execute()
        return [c["outputs"] for c in nb.cells]
    return run


CHECK = """def check_double(double, rng):
    expect(double, (1,), 2)
    for x in 3, 4:
        expect(double, (x,), 2 * x, mistakes=[("wrong-order", x * x, "You squared it.")])
    expect(double, (np.arange(3),), 2 * np.arange(3))
    require(double(1) > 0, "not positive", asked="the double of 1 is positive")
"""


def test_what_a_check_cell_displays(run_cells):
    """Success: every step. Failure: what held, what did not and why, what was not reached; one line instead of a traceback."""
    _, right, _, wrong, _, stub = run_cells(
        "import numpy as np\nfrom course_lib.checks import *\ndef double(x): return 2 * x", CHECK + "run_check(check_double, double, hidden=3)",
        "def double(x): return x * x if np.ndim(x) == 0 and x > 1 else 2 * x", CHECK + "run_check(check_double, double, hidden=1)",
        "def double(x): raise NotImplementedError()", CHECK + "run_check(check_double, double)")
    (shown,) = right
    text = shown["data"]["text/plain"]
    assert shown["output_type"] == "execute_result" and text.count("✓") == 5 and "3 hidden checks run when this is graded." in text
    assert Tags(shown["data"]["text/html"]).text.count("✓") == 5 and shown["metadata"][VERDICT]["holds"]
    shown, error = wrong
    text = shown["data"]["text/plain"]
    assert shown["output_type"] == "display_data" and text.count("✓") == 1 and text.count("✗") == 1
    for words in ("called    double(3)", "expected  6", "got       9", "Likely misconception (wrong-order): You squared it.", "1 hidden check runs",
                  "not reached: double(np.arange(3))", "not reached: the double of 1 is positive"):
        assert words in text and words in Tags(shown["data"]["text/html"]).text, words
    assert error["ename"] == "CheckFailed" and error["traceback"] == ["double: a visible check does not hold"]
    assert "double is not written yet." in stub[0]["data"]["text/plain"] and "hidden" not in stub[0]["data"]["text/plain"]


def test_outside_jupyter_the_message_says_it_all(capsys):
    with pytest.raises(CheckFailed, match="expected 7") as failed:
        run_check(check_three, double)
    assert failed.value._render_traceback_() == [str(failed.value)] and capsys.readouterr().out == ""


def check_three(double, rng):
    expect(double, (3,), 7)


# Hidden checks

def test_every_chapter_says_how_many_hidden_checks_it_has(chapter):
    """The number in each check cell is the one counted in the source, in the released notebook too."""
    ours, released = load(chapter.solutions), load(chapter.exercises)
    assert hidden_problems(ours) == []
    for a, b in zip(*[[cell_text(c) for c in nb["cells"] if role(c) == "check"] for nb in (ours, released)]):
        hidden = a[a.index("### BEGIN HIDDEN"):a.index("### END HIDDEN")]
        assert hidden_count(a) == len(re.findall(r"\b(?:expect|require|expect_raises|call)\(", hidden)) > 0
        assert hidden_count(b) == 0 and f"hidden={hidden_count(a)})" in b.splitlines()[-1]


@pytest.mark.parametrize("change, words", [(lambda s: s.replace("hidden=", "hidden=1"), "says hidden=1"), (lambda s: s.rpartition(", hidden=")[0] + ")", "says hidden=None"),
                                           (lambda s: s.replace("### END HIDDEN", "expect(bce, (1, 1), 0)\n    ### END HIDDEN"), "but has"),
                                           (lambda s: s.replace("check_", "test_"), "runs test_")])
def test_release_names_a_wrong_number(change, words):
    notebook = load(SETTINGS.chapter("03").solutions)
    cell = next(c for c in notebook["cells"] if role(c) == "check")
    cell["source"] = change(cell_text(cell))
    (problem,) = hidden_problems(notebook)
    assert words in problem and cell["metadata"]["nbgrader"]["grade_id"] in problem


# Progress

@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course folder with one exercise notebook, which this process is told to be running."""
    (tmp_path / "exercises").mkdir()
    chapter = SETTINGS.chapter("03")
    for path in (chapter.root / "settings.ini", chapter.exercises):
        (tmp_path / path.relative_to(chapter.root)).write_bytes(path.read_bytes())
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "exercises" / chapter.exercises.name))
    return tmp_path


def store(course):
    return course / ".course" / "progress.jsonl"


def names(course):
    (notebook,) = (course / "exercises").iterdir()
    return [i for i in items(load(notebook)) if not i.by_hand]


def test_progress_survives_a_restart(course):
    first, second = names(course)[:2]
    assert Progress().tell(first.name, False) == (first.points, "") and Progress().tell(first.name, True) == (first.points, "")
    Progress().tell(second.name, None)
    found, done, trouble = Progress().now()
    assert done == {first.name: True, second.name: None} and not trouble
    page = Tags(table(found, done)).text
    assert page.count("all visible checks hold") == 1 and "not tried yet" in page and f"{first.points} of {sum(i.points for i in names(course))} points" in page
    assert (course / ".course" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"{", b"[]\n", b"null\n", b'{"notebook": 1}\n', b'{"notebook": "03_forward", "exercise": "x", "holds": "yes"}\n', b"[" * 100_000])
def test_a_damaged_progress_file_is_set_aside(course, damage):
    """Results before and after the damage stay, and so does the damaged file, byte for byte."""
    first, second = names(course)[:2]
    Progress().tell(first.name, True)
    with open(store(course), "ab") as f:
        f.write(damage)
    before = store(course).read_bytes()
    assert Progress().tell(second.name, False) == (second.points, "")
    assert Progress().now()[1] == {first.name: True, second.name: False}
    (aside,) = store(course).parent.glob("progress-damaged-*")
    assert aside.read_bytes().startswith(before)


@pytest.mark.parametrize("hinder", [lambda d: d.write_text("a file"), lambda d: (d / "progress.jsonl").mkdir(parents=True)])
def test_progress_that_cannot_be_saved_is_said_and_breaks_nothing(course, hinder):
    hinder(course / ".course")
    points, note = Progress().tell(names(course)[0].name, True)
    assert points == names(course)[0].points and note.startswith("Progress cannot be saved")


def test_two_notebooks_at_once_lose_nothing(course):
    code = "import sys; from course_lib.progress import Progress\nfor k in range(60): Progress().tell(f'{sys.argv[1]}-{k}', True)"
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(2)]
    assert [p.wait(60) for p in running] == [0, 0]
    assert len(results(store(course), SETTINGS.chapter("03").name)) == 120 and not list(store(course).parent.glob("*damaged*"))


@pytest.mark.parametrize("content", ["", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"metadata": {"nbgrader": {"grade": true}}}]}'])
def test_a_broken_notebook_file_breaks_no_check(course, content):
    next((course / "exercises").iterdir()).write_text(content)
    assert Progress().tell("bce", True)[0] in (None, 0)


def test_display_is_live(course, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **k: shown.append(data))
    progress = Progress()
    progress._ipython_display_()
    bar, text = progress._box.children
    assert bar.value == 0 and "all visible checks hold" not in text.value and set(shown[0]) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    for item in names(course):
        progress.tell(item.name, True)
    assert bar.value == bar.max == sum(i.points for i in names(course)) and text.value.count("all visible checks hold") == len(names(course))


def test_display_without_ipywidgets(course, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **k: shown.append(data))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    progress = Progress()
    progress._ipython_display_()
    assert set(shown[0]) == {"text/html", "text/plain"} and progress.tell(names(course)[0].name, True)[1] == ""


def test_no_trace_of_grading(course):
    """Cells run as the judge runs them, in a process that is no notebook: nothing is written, nothing shown."""
    (notebook,) = (course / "exercises").iterdir()
    scope = {}
    for cell in load(notebook)["cells"]:
        if role(cell) == "setup":
            exec(cell_text(cell), scope)
    with pytest.raises(CheckFailed):
        run_check(check_three, double)
    assert "progress" in scope and not (course / ".course").exists()


def test_only_exercises_of_a_course_are_recorded(course):
    (course / "solutions").mkdir()
    assert store_of(course / "exercises" / "x.ipynb") and not store_of(course / "solutions" / "x.ipynb") and not store_of(None)
    (course / "settings.ini").unlink()
    assert not store_of(course / "exercises" / "x.ipynb")


# course check

WITHOUT = """import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nbgrader", "sqlalchemy"): raise ImportError(f"{name} is blocked here")
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def course_check(course, tmp_path_factory, monkeypatch):
    """Run `course check` where nbgrader, SQLAlchemy and bubblewrap cannot be found."""
    monkeypatch.delenv("JPY_SESSION_NAME")
    without = tmp_path_factory.mktemp("without")
    (without / "sitecustomize.py").write_text(WITHOUT)
    env = os.environ | {"PYTHONPATH": str(without), "COURSE_ROOT": str(course), "PATH": str(without)}
    blocked = subprocess.run([sys.executable, "-c", "import nbgrader"], env=env, capture_output=True, text=True)
    assert "nbgrader is blocked here" in blocked.stderr
    return lambda *args: subprocess.run([*COURSE, "check", *map(str, args)], cwd=course, env=env, capture_output=True, text=True, timeout=300)


def put(path, **answers):
    """Write answers into the cells of a notebook; None deletes a cell."""
    notebook, by_id = load(path), lambda c: c["metadata"].get("nbgrader", {}).get("grade_id", "").replace("-", "_")
    notebook["cells"] = [c if by_id(c) not in answers else {**c, "source": answers[by_id(c)]} for c in notebook["cells"] if answers.get(by_id(c), "") is not None]
    path.write_text(json.dumps(notebook), encoding="utf8")


RIGHT = {role_name: text for role_name, text in ((c["metadata"]["nbgrader"]["grade_id"], cell_text(c)) for c in load(SETTINGS.chapter("03").solutions)["cells"] if role(c) == "solution")}


def test_course_check_of_all_kinds_of_work(course, course_check):
    """One right, one wrong, one endless, one that ends the kernel, and an added cell that raises; the file stays as it was."""
    path = course / "exercises" / SETTINGS.chapter("03").exercises.name
    a, b, c, d = RIGHT
    put(path, **{a: RIGHT[a], b: f"def {b}(*a, **k): return '{EVIL[:8]}'", c: "while True:\n    try:\n        while True: pass\n    except BaseException: pass", d: f"def {d}(*a):\n    import os; os._exit(3)"})
    before = path.read_bytes()
    ran = course_check("--json", "--seconds", 3, "03")
    assert ran.returncode == 1 and ran.stderr == "" and path.read_bytes() == before
    (found,) = json.loads(ran.stdout).values()
    assert [f["status"] for f in found] == ["holds", "fails", "error", "lost", "by hand"]
    assert all(held for _, held in found[0]["steps"]) and found[0]["points"] == names(course)[0].points and found[0]["hidden"] == 1
    assert found[1]["called"].startswith(b) and found[1]["expected"] and EVIL[:8] in found[1]["got"] and "Expected numbers" in found[1]["difference"] and found[1]["left"]
    assert f"({c}) did not end within 3 s" in found[2]["message"] and "NameError" in found[2]["message"] and f"check-{d}" in found[3]["message"]
    assert results(store(course), path.stem)[a] is True
    text = course_check("--seconds", 3, path).stdout
    assert f"called    {b}(" in text and "did not end within 3 s" in text and "1 of 4 exercises hold, " in text and "graded by hand" in text


def test_course_check_of_right_and_untouched_work(course, course_check):
    path = course / "exercises" / SETTINGS.chapter("03").exercises.name
    ran = course_check()
    assert ran.returncode == 1 and ran.stdout.count("not written yet") == 4 and "0 of 4 exercises hold" in ran.stdout
    put(path, **RIGHT)
    ran = course_check()
    assert ran.returncode == 0 and ran.stdout.count("all visible checks hold") == 4 and ran.stdout.count("when this is graded") == 4 and "4 of 4 exercises hold" in ran.stdout


def test_course_check_with_tampered_checks(course, course_check):
    """An edited check and a deleted one are named; the notebook is run as it is."""
    path = course / "exercises" / SETTINGS.chapter("03").exercises.name
    a, b, *_ = RIGHT
    put(path, **RIGHT | {f"check_{a}": f"def check_{a}({a}, rng): pass\nrun_check(check_{a}, {a})", f"check_{b}": None})
    ran = course_check(path)
    assert ran.returncode == 1 and "This check cell was changed. Your work is graded with the original." in ran.stdout
    assert f"{b}: its check cell is not in the notebook" in ran.stdout and ran.stdout.count("all visible checks hold") == 3


@pytest.mark.parametrize("args, words", [(["77"], "unknown chapter '77'"), (["nowhere/x.ipynb"], "nowhere/x.ipynb does not exist"), (["exercises"], "unknown chapter"),
                                         (["text.ipynb"], "is not a notebook"), (["list.ipynb"], "is not a notebook"), (["plain.ipynb"], "has no exercises"), (["04"], "does not exist")])
def test_course_check_says_what_is_wrong_in_one_line(course, course_check, args, words):
    (course / "text.ipynb").write_bytes(b"\xffPK")
    (course / "list.ipynb").write_text('{"cells": [1]}')
    (course / "plain.ipynb").write_text('{"cells": []}')
    ran = course_check(*args)
    assert ran.returncode == 1 and ran.stdout == ""
    (line,) = ran.stderr.strip().splitlines()
    assert words in line


def test_released_cells_are_unchanged_by_our_checksum(chapter):
    """The checksum that release stored with nbgrader is the one computed here without it."""
    cells = [c for c in load(chapter.exercises)["cells"] if "checksum" in c["metadata"].get("nbgrader", {})]
    assert len(cells) >= 8 and not any(map(edited, cells)) and all(edited({**c, "source": cell_text(c) + " "}) for c in cells)
