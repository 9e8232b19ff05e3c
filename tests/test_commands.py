"""The command line and make: bad input is one clear line, a non-zero exit, and nothing half-written."""
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COURSE = Path(sys.executable).with_name("course")


def run(*command, cwd, **env):
    return subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, env=os.environ | env, timeout=120)


def one_line(ran, *words):
    assert ran.returncode != 0, ran.stdout
    lines = ran.stderr.strip().splitlines() or ran.stdout.strip().splitlines()
    assert len(lines) == 1 and all(w in lines[0] for w in words), lines


@pytest.fixture
def copy(root, tmp_path):
    """A course folder with settings and notebooks, to be damaged."""
    for name in ("settings.ini", "pyproject.toml", "Makefile", "requirements.lock"):
        shutil.copy(root / name, tmp_path)
    for name in ("solutions", "exercises"):
        shutil.copytree(root / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("command", ["release", "grade"])
def test_unknown_chapter(copy, command):
    one_line(run(COURSE, command, "77", cwd=copy, COURSE_ROOT=str(copy)), "unknown chapter '77'", "03_forward")
    assert not list(copy.glob("gradebook*"))


def test_outside_a_course(tmp_path):
    one_line(run(COURSE, "release", cwd=tmp_path), "settings.ini")


def test_no_submissions(copy):
    one_line(run(COURSE, "grade", "03", cwd=copy, COURSE_ROOT=str(copy)), "submitted/STUDENT/03_forward.ipynb")
    assert not list(copy.glob("gradebook*"))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}"])
def test_corrupt_notebook_leaves_the_release_alone(copy, damage):
    before = (copy / "exercises" / "03_forward.ipynb").read_bytes()
    (copy / "solutions" / "03_forward.ipynb").write_bytes(damage)
    one_line(run(COURSE, "release", "03", cwd=copy, COURSE_ROOT=str(copy)), "03_forward.ipynb", "not a notebook")
    assert (copy / "exercises" / "03_forward.ipynb").read_bytes() == before


def test_corrupt_exercise_notebook_is_not_overwritten(copy):
    """It may be a student's work after a disk fault."""
    path = copy / "exercises" / "03_forward.ipynb"
    path.write_bytes(path.read_bytes()[:1000])
    ran = run(COURSE, "release", "03", cwd=copy, COURSE_ROOT=str(copy))
    if shutil.which("bwrap"):
        one_line(ran, "not a notebook")
    assert ran.returncode and len(path.read_bytes()) == 1000


def test_port_in_use(root):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        one_line(run(COURSE, "lab", "--port", port, "--no-browser", cwd=root), f"port {port} is in use", "make lab PORT=")


def test_sandbox_missing(copy, tmp_path):
    """Neither bubblewrap nor Landlock: grading refuses with the remedy."""
    (copy / "submitted" / "s").mkdir(parents=True)
    shutil.copy(copy / "exercises" / "03_forward.ipynb", copy / "submitted" / "s")
    empty = tmp_path / "bin"; empty.mkdir()
    (empty / "landlock.py").write_text("raise ImportError")
    ran = subprocess.run([str(COURSE), "grade", "03"], cwd=copy, capture_output=True, text=True, env={"PATH": str(empty), "COURSE_ROOT": str(copy), "PYTHONPATH": str(empty)})
    assert ran.returncode == 1 and "apt-get install bubblewrap" in ran.stderr.splitlines()[-1]


def test_python_too_old(copy):
    """make stops before it creates anything."""
    old = copy / "python3.8"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c \"import sys; sys.version_info = (3, 8, 0, 'final', 0); exec(sys.argv[1])\" \"$2\"\n")
    old.chmod(0o755)
    ran = run("make", f"PYTHON={old}", "course", cwd=copy)
    assert ran.returncode and "3.11, 3.12 or 3.13 is needed" in ran.stderr and not (copy / ".venv").exists()


def test_no_space(copy):
    """Too small a disk is found before anything is installed."""
    small = copy / "python3"
    small.write_text(f"#!/bin/sh\nexec {sys.executable} -c \"import shutil, sys; shutil.disk_usage = lambda p: type('u', (), {{'free': 10**9}}); exec(sys.argv[1])\" \"$2\"\n")
    small.chmod(0o755)
    ran = run("make", f"PYTHON={small}", "course", cwd=copy)
    assert ran.returncode and "1.0 GB are free here, 6 GB are needed" in ran.stderr and not (copy / ".venv").exists()


def test_headlines(root):
    """Every recorded figure has all its parts, and README and home page show exactly these."""
    from course_lib.results import fill, figures_table, chapters_table
    headlines = json.loads((root / "results" / "headlines.json").read_text(encoding="utf8"))
    assert {"mnist_article_accuracy_mean", "mnist_recipe_accuracy_mean", "bench_numpy_over_keras_bs32", "bench_numpy_over_torch_bs32", "course_seconds", "test_seconds"} <= set(headlines) | ({"test_seconds"} if os.environ.get("RECORD") else set())
    for name, h in headlines.items():
        assert set(h) == {"value", "unit", "bar", "conditions", "command"} and h["conditions"] and h["command"], name
    readme = (root / "README.md").read_text(encoding="utf8")
    assert fill(readme, {"figures": figures_table(root), "chapters": chapters_table(root)}) == readme
    assert (root / "results" / "figures.md").read_text(encoding="utf8") == figures_table(root)
