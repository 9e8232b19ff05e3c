"""nbgrader's formgrader in a real Chromium opens what we export; a score given there becomes a decision."""
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from test_gradebook import Nbgrader, Student, submission

EVIL = "<img src=x onerror='document.title = \"owned\"'> <script>document.title = 'owned'</script> [click](javascript:alert(1)) Because $a<b$."


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = Nbgrader(tmp_path_factory.mktemp("formgrader"))
    world.data["kim"] = submission("def double(x): return 3 * x  # <script>document.title = 'owned'</script>", EVIL)
    world.grade("kim", 0, "failed")
    world.book.decide("kim", "01_double", "double", 1, "ta", "nearly")
    world.export(roster={"ada": Student("ada", "Lovelace, Ada"), "kim": Student("kim", "Kim, <b>Kim</b>")})
    return world


@pytest.fixture(scope="module")
def address(world, browser):
    """A Jupyter server with nbgrader's extension, on the exported folder."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    home = world.out.parent / "jupyter"
    env = os.environ | {"JUPYTER_TOKEN": "local", "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"), "HOME": str(home)}
    command = [sys.executable, "-m", "jupyter_server", f"--ServerApp.root_dir={world.out}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--no-browser", "--allow-root"]
    home.mkdir()
    with open(home / "log", "w") as log:
        process = subprocess.Popen(command, cwd=world.out, env=env, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=local", timeout=2)
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/formgrader"
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def page(address, browser):
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(f"{address}/gradebook?token=local")
    yield page
    context.close()


def rows(page, count):
    """The table as text, one list of cells per row, once it is filled."""
    page.wait_for_function("count => document.querySelectorAll('tbody tr').length === count && [...document.querySelectorAll('tbody tr')].every(r => r.innerText.includes('/ 5'))", arg=count)
    return [[c.strip() for c in row.locator("td").all_inner_texts()] for row in page.locator("tbody tr").all()]


def test_the_assignment_lists_its_submissions_with_scores(address, page):
    page.goto(f"{address}/manage_submissions/01_double")
    found = {r[1]: r for r in rows(page, 3)}
    assert {s: (r[0], r[3], r[4]) for s, r in found.items()} == {
        "ada": ("Lovelace, Ada", "needs manual grading", "3 / 5"), "kim": ("Kim, <b>Kim</b>", "needs manual grading", "1 / 5"), "eve": ("eve,", "needs manual grading", "0 / 5")}
    shots = os.environ.get("COURSE_SCREENSHOTS")
    if shots:
        page.screenshot(path=f"{shots}/formgrader.png")


def test_a_score_given_in_the_browser_becomes_a_decision(world, address, page):
    page.goto(f"{address}/gradebook")
    page.get_by_role("link", name="01_double").click()
    page.get_by_role("link", name="01_double").last.click()
    rows(page, 3)                                       # all three are there, the unreadable one too
    with world.api() as gradebook:
        submission_id = gradebook.find_submission_notebook("01_double", "01_double", "kim").id
    page.goto(f"{address}/submissions/{submission_id}/")
    field = page.locator("input.score[id=why]")
    field.wait_for()
    page.wait_for_function("document.querySelector('input.score[id=check-double]').value === '1'")
    assert field.input_value() == "" and field.get_attribute("class").count("needs_manual_grade")
    text = page.locator("#notebook").first.inner_text().replace("\u200b", "")
    assert "return 3 * x" in text and "<script>document.title" in text and "document.title" not in page.title()
    assert page.title() != "owned" and not page.locator("#notebook img, #notebook a[href^=javascript]").count() and "BEGIN HIDDEN" not in text
    field.fill("1.5")
    with page.expect_response(lambda r: re.search("/api/grade/", r.url) and r.request.method == "PUT") as saved:
        field.press("Tab")
    assert saved.value.ok
    assert world.take() == (1, ())
    grade = world.book.grades("01_double")["kim"]
    assert grade.points == 2.5 and grade.decisions["why"].by == "formgrader"
