"""What a notebook shows or says never costs points, and on nbgrader's own fixtures our points are nbgrader's."""
import ast
import builtins
import json
import os
import shutil
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.exercise import FULL, OURS, PREDICT, SOFTMAX, cell, notebook, packed
from conftest import SETTINGS, needs_sandbox

LIMITS = replace(SETTINGS.grading, seconds_per_cell=20, seconds_per_check=20, memory_mb=4096)


@contextmanager
def grading(ours, limits=LIMITS):
    from course_lib.grading.grader import Grader
    with Grader(ours, limits) as grader:
        yield lambda data: {o.exercise: o for o in grader.grade(data, 11)}


@pytest.fixture(scope="module")
def grade():
    with grading(OURS) as function:
        yield function


def inside(code):
    """softmax with more lines at its beginning."""
    head, rest = SOFTMAX.split("\n", 1)
    return "\n".join([head, textwrap.indent(code, "    "), rest])


def before(code):
    return f"{code}\n{SOFTMAX}"


HARMLESS = {
    "prints": inside("print(Z)\nfor i in range(20_000): print(i)"),
    "200 MB of prints": before("for _ in range(200): print('x' * (1 << 20))"),
    "standard error": inside("import os, sys\nsys.stderr.write('x' * 10**6)\nos.write(2, b'x'); sys.stdout.flush()"),
    "warnings": inside("import warnings\nwarnings.simplefilter('always')\nwarnings.warn('careful')\nnp.log(np.zeros(3))"),
    "warnings as errors, caught": inside("import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('error')\n    try: np.log(np.zeros(1))\n    except RuntimeWarning: pass"),
    "logging": inside("import logging\nlogging.basicConfig(level=logging.DEBUG, force=True)\nlogging.getLogger('mine').error('no error')"),
    "progress bar": inside("from tqdm import tqdm\nfor _ in tqdm(range(100)): pass"),
    "progress bar of notebooks": inside("from tqdm.auto import tqdm\nfor _ in tqdm(range(100), desc='softmax'): pass"),
    "rich": inside("from rich import print\nprint('[bold]rows[/bold]', len(Z))"),
    "figure": inside("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.imshow(Z)\nplt.show()"),
    "figure in a file": inside("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('figure.png'); plt.close()"),
    "many figures": inside("import matplotlib.pyplot as plt\nfor _ in range(25): plt.figure()"),
    "display, imported": inside("from IPython.display import HTML, Markdown, clear_output, display\ndisplay(HTML('<b>x</b>')); display(Markdown('x')); clear_output()"),
    "display, as every notebook has it": inside("display(Z)"),
    "widget": before("import ipywidgets\nipywidgets.IntSlider()"),
    "line magic": before("%matplotlib inline"),
    "cell magic": before("%%time"),
    "timing": f"{SOFTMAX}\n%timeit -n 1 -r 1 softmax(np.zeros((2, 2)))",
    "help": f"{SOFTMAX}\nsoftmax?",
    "the shell": before("get_ipython()"),
    "a file of its own": before("with open('notes.txt', 'w') as f: f.write('x')\nassert open('notes.txt').read() == 'x'"),
    "a temporary file": inside("import tempfile\nwith tempfile.NamedTemporaryFile() as f: f.write(b'x')"),
    "nowhere": inside("import contextlib, os\nwith open(os.devnull, 'w') as f, contextlib.redirect_stdout(f): print('x')"),
    "threads": inside("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool: list(pool.map(abs, range(10)))"),
    "asyncio": inside("import asyncio\nasyncio.run(asyncio.sleep(0))"),
    "question without an answer": before("try: input('name? ')\nexcept (EOFError, OSError): pass"),
    "an error after the answer": f"{SOFTMAX}\n1 / 0",
    "the end of the program": f"{SOFTMAX}\nexit()",
    "import of course_lib, unused": before("from course_lib.forward import relu, softmax as theirs"),
    "plain lists": "def softmax(Z):\n    rows = [[np.exp(z) for z in row] for row in Z]\n    return [[e / sum(row) for e in row] for row in rows]",
    "a class": "class Softmax:\n    def __call__(self, Z): return np.exp(Z) / np.exp(Z).sum(1, keepdims=True)\nsoftmax = Softmax()",
}


@needs_sandbox
@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_notebook_says_or_shows_costs_nothing(name, grade):
    outcomes = grade(packed(notebook(HARMLESS[name])))
    assert {n: o.points for n, o in outcomes.items()} == FULL, outcomes


@needs_sandbox
def test_cells_between_the_answers_cost_nothing(grade):
    """Cells that a student added: one that fails, one that shows, one that is no Python."""
    outcomes = grade(packed(notebook(SOFTMAX, PREDICT, added=["1 / 0", "display(softmax(np.zeros((1, 2))))", "%%bash\nls", "!pip install numpy", "this is no Python"])))
    assert {n: o.points for n, o in outcomes.items()} == FULL, outcomes


# nbgrader's fixtures. One group is one assignment: the instructor's notebook, then the submissions to it, `True` for those that cheat.
FILES = "{}/files/{}.ipynb".format
CHANGED = {"submitted-unchanged": False, "submitted-changed": False, "submitted-locked-cell-changed": True, "submitted-grade-cell-changed": True}
TYPES = {"submitted-answer-cell-type-changed": True, "submitted-grade-cell-type-changed": True}
GROUPS = {
    "submitted": ("apps", "submitted-changed", CHANGED | {"submitted-cheat-attempt": True, "submitted-cheat-attempt-alternative": True}),
    "submitted, preprocessors": ("preprocessors", "submitted-changed", CHANGED | TYPES),
    "submitted, user interface": ("ui-tests", "submitted-changed", CHANGED | TYPES),
    "test": ("apps", "test", {"test": False, "test-with-output": False}),
    "hidden tests": ("apps", "test-hidden-tests", {"test-hidden-tests": False}),
    "autotest, simple": ("apps", "autotest-simple", {"autotest-simple-unchanged": False, "autotest-simple-changed": False}),
    "autotest, hashed": ("apps", "autotest-hashed", {"autotest-hashed-unchanged": False, "autotest-hashed-changed": False}),
    "autotest, hidden": ("apps", "autotest-hidden", {"autotest-hidden-unchanged": False, "autotest-hidden-changed-wrong": False, "autotest-hidden-changed-right": False}),
    "autotest, multi": ("apps", "autotest-multi", {"autotest-multi-unchanged": False, "autotest-multi-changed": False}),
    "zero points": ("apps", "validation-zero-points", {"validation-zero-points": False}),
    "timeout": ("apps", "timeout", {"timeout": False}),
}
SECONDS = {"timeout": 2}   # the limit that nbgrader's own test of this fixture sets
NOT_OURS = {"sum_of_squares_uses_squares": "deletes a name from the student's namespace while the check runs; ours never enters that namespace"}
UNGRADED, MALFORMED = "has no graded code cell", "is refused by nbgrader before anything is graded"
NOSE = "its checks import nose, which no supported Python can import"
NOT_APPLIED = {
    **dict.fromkeys([FILES("apps", n) for n in ("infinite-loop", "infinite-loop-with-output", "side-effects", "test-no-metadata", "test-no-metadata-autotest")], UNGRADED),
    **dict.fromkeys([FILES("preprocessors", n) for n in ("header", "infinite-recursion", "long-output", "warning-pattern", "cell-type-changed", "no-cell-type", "manually-graded-code-cell")], UNGRADED),
    **dict.fromkeys([FILES("ui-tests", n) for n in ("blank", "empty", "old-schema", "task")], UNGRADED),
    **dict.fromkeys([FILES("preprocessors", n) for n in ("bad-markdown-cell-1", "bad-markdown-cell-2", "blank-grade-id", "blank-points", "duplicate-grade-ids")], MALFORMED),
    **dict.fromkeys([FILES("apps", n) for n in ("test-v0", "test-v0-invalid", "test-v1", "test-v2", "too-new")], MALFORMED),
    **dict.fromkeys([FILES("preprocessors", n) for n in ("test", "test_taskcell")], NOSE),
    **dict.fromkeys([FILES(d, "open_relative_file") for d in ("apps", "ui-tests")], "its check reads a file that the student hands in beside the notebook; ours takes the notebook alone"),
    FILES("apps", "validating-environment-variable"): "asks whether nbgrader itself is running",
}


def fixtures():
    import nbgrader
    return Path(nbgrader.__file__).parent / "tests"


def test_every_fixture_is_applied_or_listed():
    pytest.importorskip("nbgrader")
    there = {p.relative_to(fixtures()).as_posix() for p in fixtures().rglob("*.ipynb")}
    applied = {FILES(d, n) for d, source, submissions in GROUPS.values() for n in (source, *submissions)}
    assert there == applied | NOT_APPLIED.keys() and not applied & NOT_APPLIED.keys()


def test_what_is_listed_as_ungraded_or_refused_is_that():
    """The reasons in the table hold: no cell of those that are ungraded is a code cell with points, and those with nose say so."""
    pytest.importorskip("nbgrader")
    for path, reason in NOT_APPLIED.items():
        metas = [(c["cell_type"], c.get("metadata", {}).get("nbgrader", {}), "".join(c["source"])) for c in json.loads((fixtures() / path).read_text())["cells"] if "cell_type" in c]
        checks = [text for kind, m, text in metas if kind == "code" and m.get("grade") and not m.get("solution")]
        assert bool(checks) == (reason not in (UNGRADED,)) or reason == MALFORMED, path
        assert ("nose" in "".join(checks)) == (reason == NOSE), path


def nbgrader_points(root, folder, source, submissions, seconds):
    """Autograde with nbgrader: (submission -> check cell -> automatic points, check cell -> (source that nbgrader runs, points))."""
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config
    for name, place in [(source, root / "source/ps1"), *((n, root / "submitted" / n / "ps1") for n in submissions)]:
        place.mkdir(parents=True)
        shutil.copy(fixtures() / FILES(folder, name), place / "p1.ipynb")
    shutil.copy(fixtures() / "apps/files/autotests.yml", root / "autotests.yml")
    config = Config()
    config.CourseDirectory.root, config.CourseDirectory.course_id = str(root), "course"
    config.CourseDirectory.db_url = url = f"sqlite:///{root / 'gradebook.db'}"
    config.Exchange.root = str(root)
    if seconds:
        config.Execute.timeout = seconds
    api = NbGraderAPI(config=config)
    made = api.generate_assignment("ps1")
    assert made["success"], made["log"]
    points, metas = {}, [c["metadata"].get("nbgrader", {}) for c in json.loads((fixtures() / FILES(folder, source)).read_text())["cells"]]
    automatic = {m["grade_id"] for m in metas if m.get("grade") and not m.get("solution")}
    for name in submissions:
        done = api.autograde("ps1", name)
        assert done["success"] or name in TYPES, done["log"]
    with Gradebook(url) as book:
        for name in submissions:
            grades = book.find_submission_notebook("p1", "ps1", name).grades
            points[name] = {g.cell.name: g.auto_score for g in grades if g.cell.name in automatic}
        cells = {c.name: (c.source, book.find_graded_cell(c.name, "p1", "ps1").max_score) for c in book.find_notebook("p1", "ps1").source_cells
                 if c.name in automatic}
    return points, cells


def free_names(source):
    """Names that a check cell reads and does not itself bind: the student's."""
    nodes = list(ast.walk(ast.parse(source)))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)} | {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    bound |= {a.arg for n in nodes if isinstance(n, (ast.FunctionDef, ast.Lambda)) for a in n.args.args} | {(a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    return sorted({n.id for n in nodes if isinstance(n, ast.Name)} - bound - set(dir(builtins)))


def adapted(path, checks):
    """Our instructor's notebook from nbgrader's: each check cell becomes a function of the student's names that runs the same lines."""
    theirs = json.loads(path.read_text())
    cells = [cell("from course_lib.checks import run_check", "our-setup", locked=True)]
    for c in theirs["cells"]:
        meta = c.get("metadata", {}).get("nbgrader", {})
        name = meta.get("grade_id")
        if name not in checks:
            if not meta.get("grade") or meta.get("solution"):
                cells.append(c)
            continue
        source, points = checks[name]
        students = free_names(source)
        function = f"check_{name}".replace("-", "_")
        body = f"def {function}({', '.join([*students, 'rng'])}):\n{textwrap.indent(source, '    ')}\n    pass\nrun_check({', '.join([function, *students])})"
        cells.append(cell(body, name, grade=True, points=points, locked=True))
    return dict(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)


@needs_sandbox
@pytest.mark.parametrize("group", GROUPS)
def test_points_on_nbgraders_fixtures_are_nbgraders(group, tmp_path, monkeypatch):
    """Equal, check cell by check cell, on honest submissions; not higher on those that cheat."""
    pytest.importorskip("nbgrader")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")     # nbgrader starts alembic
    folder, source, submissions = GROUPS[group]
    theirs, checks = nbgrader_points(tmp_path, folder, source, submissions, SECONDS.get(group))
    limits = replace(LIMITS, seconds_per_cell=SECONDS[group], seconds_per_check=SECONDS[group]) if group in SECONDS else LIMITS
    checks = {n: c for n, c in checks.items() if n not in NOT_OURS}
    assert checks
    with grading(adapted(fixtures() / FILES(folder, source), checks), limits) as grade:
        for name, cheats in submissions.items():
            outcomes = grade((fixtures() / FILES(folder, name)).read_bytes())
            for check in checks:
                expected = theirs[name][check]
                if expected is None and name in TYPES:     # nbgrader itself fails on it: not more than for nothing
                    expected = theirs["submitted-unchanged"][check]
                ours = outcomes[check].points
                assert ours <= expected if cheats else ours == expected, f"{name}, {check}: nbgrader gives {expected}, we give {outcomes[check]}"
