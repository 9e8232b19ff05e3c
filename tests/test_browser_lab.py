"""JupyterLab in a real Chromium: a student opens an exercise, solves it wrongly, reads the diagnosis, solves it rightly."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from conftest import SETTINGS
from course_lib.grading.notebook import read_source
from course_lib.grading.release import read_notebook
from course_lib.grading.sample import declared_variants

CHAPTER = SETTINGS.chapter("03")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def lab(browser, root, tmp_path_factory):
    """`course lab` on a copy of the course folder; gives its address."""
    copy, port = tmp_path_factory.mktemp("lab") / "course", free_port()
    copy.mkdir()
    for name in ("settings.ini", "nbs", "exercises"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, copy / name)
    env = os.environ | {"COURSE_ROOT": str(copy), "JUPYTER_TOKEN": "local", "JUPYTER_CONFIG_DIR": str(copy / ".jupyter"), "JUPYTER_DATA_DIR": str(copy / ".data")}
    with open(copy / "lab.log", "w") as log:
        process = subprocess.Popen([Path(sys.executable).with_name("course"), "lab", "--port", str(port), "--no-browser"], cwd=copy, env=env, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=local", timeout=2)
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline, (copy / "lab.log").read_text()
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}", copy
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def page(lab, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.outside = []
    page.on("request", lambda r: page.outside.append(r.url) if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", r.url) else None)
    page.set_default_timeout(60_000)
    yield page
    context.close()


def test_lab_opens_on_the_first_chapter(lab, page):
    page.goto(f"{lab[0]}/?token=local")
    page.locator(".jp-NotebookPanel .jp-RenderedMarkdown h1", has_text=SETTINGS.chapters[0].title).first.wait_for()
    assert page.locator(".lm-TabBar-tabLabel", has_text=SETTINGS.chapters[0].notebook.name).count()


def test_exercise_wrong_then_right(lab, page):
    """Run All with one misconception in the first exercise shows its diagnosis; the right answer shows the verdict."""
    address, copy = lab
    source = read_source(read_notebook(CHAPTER.solutions))
    exercise = next(x for x in source.exercises if x.check)
    wrong = next(v for v in declared_variants(read_notebook(CHAPTER.solutions)) if v[0] == "chaff" and v[3] in exercise.functions)
    path = copy / "exercises" / f"{CHAPTER.name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf8"))
    answer = next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == exercise.functions[0])
    answer["source"] = wrong[4]
    path.write_text(json.dumps(notebook), encoding="utf8")

    page.goto(f"{address}/lab/tree/exercises/{CHAPTER.name}.ipynb?token=local&reset")
    panel = page.locator(f".jp-NotebookPanel[id]:not(.lm-mod-hidden)")
    cells = panel.locator(".jp-CodeCell")
    setup, solution, check = cells.nth(0), cells.nth(1), cells.nth(2)
    solution.locator(".cm-content").wait_for()
    page.locator(".jp-NotebookPanel-toolbar >> text=Python 3").first.wait_for()
    for cell in (setup, solution, check):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
    check.get_by_text(f"Likely misconception ({wrong[2]})").wait_for()
    assert check.locator(".jp-OutputArea").inner_text().count("Traceback") == 0

    right = next(v for v in declared_variants(read_notebook(CHAPTER.solutions)) if v[0] == "wheat" and v[3] in exercise.functions)
    solution.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(right[4])
    for cell in (solution, check):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
    check.get_by_text("all visible checks hold").wait_for()
    shots = os.environ.get("COURSE_SCREENSHOTS")
    if shots:
        page.screenshot(path=f"{shots}/lab-exercise.png")


def test_callouts_are_shown_as_callouts(page):
    """The hints are folded boxes in JupyterLab too, not lines of colons."""
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    assert panel.get_by_text("Hint 1").count() and not panel.locator(".jp-RenderedMarkdown").get_by_text(":::").count()


def test_a_widget_is_live(lab, page):
    """A slider that is moved redraws the picture; before the notebook is run, the stored picture is there."""
    page.goto(f"{lab[0]}/lab/tree/nbs/library/widgets.ipynb?token=local&reset")
    panel = page.locator(".jp-NotebookPanel[id]:not(.lm-mod-hidden)")
    panel.locator(".jp-RenderedImage img").first.wait_for()
    page.locator(".jp-NotebookPanel-toolbar >> text=Python 3").first.wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    picture, handle = panel.locator(".jupyter-widgets img").first, panel.locator(".noUi-handle").first
    picture.wait_for()
    before = picture.get_attribute("src")
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("([img, src]) => img.src !== src", arg=[picture.element_handle(), before])


def test_nothing_leaves_the_machine(page):
    assert page.outside == []
