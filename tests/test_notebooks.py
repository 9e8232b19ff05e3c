"""The notebooks as files: exported, executed in order, free of noise, and small enough to read."""
import ast
import json
import re
import subprocess
import tomllib

import pytest

from conftest import ROOT, SETTINGS, module_of
from course_lib.pipeline import check_export

PAGES = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
SOLUTIONS = [c.solutions for c in SETTINGS.chapters]
EXERCISES = [c.exercises for c in SETTINGS.chapters]
name = lambda p: p.relative_to(ROOT).as_posix()


def cells(path):
    return json.loads(path.read_text(encoding="utf8"))["cells"]


def source(cell):
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def test_every_chapter_has_its_notebooks():
    for chapter in SETTINGS.chapters:
        for path in (chapter.notebook, chapter.solutions, chapter.exercises):
            assert path.is_file(), path
    assert {p.stem for p in (ROOT / "nbs").glob("*.ipynb")} == {c.name for c in SETTINGS.chapters}
    assert {p.stem for p in (ROOT / "solutions").glob("*.ipynb")} == {c.name for c in SETTINGS.chapters}
    assert {p.stem for p in (ROOT / "exercises").glob("*.ipynb")} == {c.name for c in SETTINGS.chapters}


def test_each_chapter_has_one_title():
    """The heading of the notebook is the title in settings.ini, and the exercises name the same chapter."""
    for chapter in SETTINGS.chapters:
        headings = [l for c in cells(chapter.notebook) if c["cell_type"] == "markdown" for l in source(c).splitlines() if l.startswith("# ")]
        assert headings == [f"# {chapter.title}"]


def test_export_leaves_no_difference(settings):
    assert check_export(settings, lambda *a: None)


@pytest.mark.parametrize("path", PAGES + SOLUTIONS, ids=name)
def test_stored_outputs_are_from_one_clean_run(path):
    counts = [c["execution_count"] for c in cells(path) if c["cell_type"] == "code" and source(c).strip()]
    assert counts == list(range(1, len(counts) + 1))
    for c in cells(path):
        for output in c.get("outputs", []):
            assert output["output_type"] != "error", c["id"]
            assert output.get("name") != "stderr", f"{c['id']} stores noise: {output.get('text')}"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), c["id"]


@pytest.mark.parametrize("path", PAGES + SOLUTIONS + EXERCISES, ids=name)
def test_cells_have_stable_names(path):
    ids = [c["id"] for c in cells(path)]
    assert len(set(ids)) == len(ids)
    assert "auto" not in path.name, "nbdev loses the symbols of such a notebook"
    meaningless = [i for i in ids if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}.*)?", i)]
    assert not meaningless, f"translations are keyed by cell id: {meaningless}"


@pytest.mark.parametrize("path", PAGES + SOLUTIONS + EXERCISES, ids=name)
def test_directives_are_in_the_colon_form(path):
    lines = [l for c in cells(path) if c["cell_type"] == "code" for l in source(c).splitlines() if l.startswith("#|")]
    assert [l for l in lines if not re.match(r"#\| [a-z_-]+: \S", l)] == []
    if path not in PAGES:
        assert not any("default_exp" in l or "export" in l for l in lines), "exercises and solutions export nothing"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_cells_are_small(path):
    """A code cell has at most 12 lines unless it is one definition; a function has at most 20 lines of code."""
    for c in cells(path):
        if c["cell_type"] != "code":
            continue
        lines = [l for l in source(c).splitlines() if l.strip() and not l.startswith("#|")]
        body = ast.parse(source(c)).body
        definitions = [n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        assert len(lines) <= 12 or definitions, f"{c['id']} has {len(lines)} lines"
        for n in ast.walk(ast.parse(source(c))):
            if isinstance(n, ast.FunctionDef):
                first = n.body[1] if len(n.body) > 1 and isinstance(n.body[0], ast.Expr) else n.body[0]
                used = {x.lineno for x in ast.walk(n) if hasattr(x, "lineno") and x.lineno >= first.lineno}
                assert len(used) <= 20, f"{c['id']}: {n.name} has {len(used)} lines"


def test_importing_the_library_is_light():
    modules = ["claims", "data", *map(module_of, SETTINGS.chapters)]      # a chapter without a module fails here
    code = f"import importlib, sys; [importlib.import_module('course_lib.' + m) for m in {modules}]; print(*[m for m in ('torch', 'tensorflow', 'transformers', 'sklearn', 'scipy', 'onnx', 'onnxruntime', 'ai_edge_litert', 'fastapi', 'uvicorn', 'aiohttp') if m in sys.modules])"
    python = ROOT / ".venv" / "bin" / "python"
    ran = subprocess.run([python if python.exists() else "python3", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_every_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    wanted = project["dependencies"] + [r for extra in project["optional-dependencies"].values() for r in extra]
    plain = lambda r: re.split(r"[ ;<>=\[]", r)[0].lower().replace("_", "-")
    locked = {plain(l) for l in (ROOT / "requirements.lock").read_text().splitlines() if l}
    assert {plain(r) for r in wanted} <= locked


def test_no_machine_path_or_unfinished_mark():
    """A path of the machine that stored an output, or a mark of unfinished work, has no place in what students get."""
    pattern = re.compile("|".join(["/home/", "/Users/", "/" + "root/", "/tmp/", "site-packages", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b"]))
    for path in [*PAGES, *SOLUTIONS, *EXERCISES, *(ROOT / "course_lib").rglob("*.py"), ROOT / "README.md", ROOT / "index.qmd"]:
        texts = [source(c) + json.dumps(c.get("outputs", [])) for c in cells(path)] if path.suffix == ".ipynb" else [path.read_text(encoding="utf8")]
        found = [m.group() for t in texts for m in pattern.finditer(re.sub(r'"image/png": "[^"]*"', "", t))]
        assert not found, f"{name(path)}: {found[:3]}"
