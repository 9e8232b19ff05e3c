"""Fixtures shared by all tests. A test that needs a program the machine lacks is skipped with the reason."""
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from course_lib.settings import read_settings

ROOT = Path(__file__).parent.parent
SETTINGS = read_settings(ROOT)
BEGUN = time.monotonic()

def module_of(chapter):
    """The module of the library that a chapter exports."""
    cells = json.loads(chapter.notebook.read_text(encoding="utf8"))["cells"]
    return next(found[1] for c in cells if (found := re.search(r"^#\| default_exp: (\S+)$", "".join(c["source"]), re.M)))


needs_sandbox = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def settings():
    return SETTINGS


@pytest.fixture(params=SETTINGS.chapters, ids=lambda c: c.name)
def chapter(request):
    return request.param


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that the machine has."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright
    flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags, chromium_sandbox=os.getuid() != 0)
        yield browser
        browser.close()


def pytest_sessionfinish(session, exitstatus):
    """With RECORD set, a full green run writes its time into the headlines."""
    if os.environ.get("RECORD") and exitstatus == 0 and not session.config.args_source.name == "ARGS":
        from course_lib.results import machine, record, write_report
        record("test_seconds", round(time.monotonic() - BEGUN), "s", "at most 2400", machine("torch", "tensorflow-cpu"), "make test RECORD=1", root=ROOT)
        write_report(ROOT)
