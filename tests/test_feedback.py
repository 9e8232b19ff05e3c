"""Feedback pages: nothing hidden, nothing of others, nothing that runs; a file that is not ours is never overwritten."""
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from conftest import ROOT, SETTINGS, needs_sandbox
from course_lib.grading import feedback, page
from course_lib.grading.feedback import HIDDEN_FAILURE, Task, feedback_page, read_tasks, visible_checks, write_feedback
from course_lib.grading.gradebook import Gradebook
from course_lib.grading.outcome import STATUSES, Outcome
from course_lib.settings import CourseError, Limits

CHAPTER = SETTINGS.chapter("03")
TASKS = {"mean": Task("Exercise 1: A mean", "03 Forward", ("mean([1.0, 2.0, 6.0]) gives 3", "mean([4.0]) gives 4"), 1),
         "why": Task("Exercise 2: Why?", "03 Forward", (), 0)}
SEED = 918273645
LIMITS = Limits(seconds_per_cell=4, seconds_per_check=4, seconds_per_submission=30, memory_mb=2048, processes=16, file_mb=4, reply_mb=2, notebook_mb=2)
CHECK = """def check_mean(mean, rng):
    expect(mean, ([1.0, 2.0, 6.0],), 3.0)
    ### BEGIN HIDDEN TESTS
    # MARKER-COMMENT
    MARKER_NAME = [77123.5, 88456.25]
    expect(mean, (MARKER_NAME,), 82789.875, mistakes=[("wrong-order", 77123.5, "HINT-FIRST: you returned the first value.")], hint="HINT-ANY: any number of values may come.")
    x = list(rng.normal(size=3) + 5e6)
    expect(mean, (x,), sum(x) / 3, hint="HINT-LARGE: large values, too.")
    ### END HIDDEN TESTS
run_check(check_mean, mean)"""
SECRETS = ["MARKER", "77123", "88456", "82789", "500000", "HIDDEN TESTS", "rng", str(SEED), "bob", "gradebook", "solutions/", "/work", "/tmp", "site-packages", str(ROOT)]


def outcomes(**changes):
    base = Outcome("mean", 0, 4, "failed", "axis", "mean([1.0, 2.0, 6.0]) returned 9; expected 3.", (("mean([1.0, 2.0, 6.0]) gives 3", False),))
    return [replace(base, **changes), Outcome("why", None, 2, "by hand")]


def grade(results=None, student="ann", late=False, decision=None):
    book = Gradebook("sqlite://")
    book.add(student, CHAPTER.name, "ab12" * 16, "c", SEED, "bubblewrap", late, results or outcomes())
    book.add("bob-other", CHAPTER.name, "cd34" * 16, "c", SEED, "bubblewrap", False, outcomes(message="of bob-other"))
    if decision:
        book.decide(student, CHAPTER.name, *decision)
    return book.grades(CHAPTER.name)[student]


def show(results=None, **more):
    return feedback_page(grade(results, **more), CHAPTER, TASKS)


class Tags(HTMLParser):
    """What a browser would see as markup."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += f"{data} "


def words(html):
    return re.sub(r"\s+", " ", Tags(re.sub(r"<style>.*?</style>", "", html, flags=re.S)).text)


# What the page says

def test_ungraded_is_named_and_never_zero():
    text = words(show([Outcome("mean", 4, 4, "passed", steps=(("mean([1.0, 2.0, 6.0]) gives 3", True), ("mean([4.0]) gives 4", True))), Outcome("why", None, 2, "by hand")]))
    assert "4 points so far, of 4 that are graded. Not graded yet: Exercise 2: Why? (2 of 6 points)." in text
    assert "not graded yet (2 points)" in text and "0 of 2" not in text


def test_each_visible_check_has_its_state():
    rows = re.findall(r"<td><code>(.*?)</code></td><td class=\"\w+\">(.*?)</td>", show())
    assert rows == [("mean([1.0, 2.0, 6.0]) gives 3", "did not hold"), ("mean([4.0]) gives 4", "not reached")]
    assert "Hidden checks (1), with other inputs not reached" in words(show())
    passed = outcomes(points=4, status="passed", message="", steps=(("mean([1.0, 2.0, 6.0]) gives 3", True), ("mean([4.0]) gives 4", True)))
    assert re.findall(r"<td class=\"\w+\">(.*?)</td>", show(passed)) == ["held"] * 3


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_page(status):
    text = words(show([Outcome("mean", None if status == "by hand" else 0, 4, status, "", "SAID")]))
    assert STATUSES[status] in text and ("SAID" in text) == (status != "passed")


def test_a_visible_failure_is_shown_in_full_and_a_hidden_one_by_its_hint():
    assert "mean([1.0, 2.0, 6.0]) returned 9; expected 3." in words(show())
    text = words(show(outcomes(message=f"{HIDDEN_FAILURE} Look at the axis.", steps=tuple((t, True) for t in TASKS["mean"].checks))))
    assert "Hint: Look at the axis." in text and "Hidden checks (1), with other inputs did not hold" in text


def test_late_and_decisions_are_shown():
    text = words(show(late=True, decision=("mean", 3, "the lecturer", "the idea is right <b>")))
    assert "Late: handed in after the deadline" in text and "A person decided on" in text and "3 of 4 points" in text and "the idea is right <b>" in text
    assert "Late" not in words(show())


def test_a_decision_on_an_earlier_file_says_so():
    found = grade(decision=("mean", 3, "the lecturer", "r"))
    assert "an earlier file" not in feedback_page(found, CHAPTER, TASKS)
    assert "an earlier file" in feedback_page(replace(found, run=replace(found.run, submission_sha256="new")), CHAPTER, TASKS)


def test_the_reference_reaches_every_visible_check(chapter):
    """Each automatic exercise has visible checks, and none of their texts stands only in the hidden part."""
    tasks = read_tasks(chapter)
    assert sum(bool(t.checks) for t in tasks.values()) >= 3
    for task in tasks.values():
        assert task.title.startswith("Exercise") and "points" not in task.title
        assert bool(task.checks) == bool(task.hidden)


def test_a_link_to_a_section_names_it(tmp_path):
    nbs = tmp_path / "nbs"
    nbs.mkdir()
    (nbs / "03_forward.ipynb").write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": "# Forward: all\n\n## What does it cost?"}]}))
    chapter = replace(CHAPTER, root=tmp_path)
    assert feedback._taught(chapter, "See [it](../nbs/03_forward.ipynb#what-does-it-cost).") == "03 Forward: all, What does it cost?"
    assert feedback._taught(chapter, "See [it](../nbs/03_forward.ipynb).") == ""
    assert "Taught in: 03 Forward" in words(show())


def test_a_reference_that_fails_is_one_line():
    from test_grading import cell
    notebook = dict(cells=[cell("from course_lib.checks import expect, run_check", "setup", locked=True), cell("def mean(x): return 0", "mean", solution=True),
                           cell(CHECK, "check-mean", grade=True, points=4, locked=True)])
    with pytest.raises(CourseError, match="the reference fails a visible check of mean"):
        visible_checks(notebook)


# What it must not say

def test_a_message_that_should_not_be_there_is_left_out():
    """All visible checks held, yet the message is not the judge's sentence for a hidden failure: it is not trusted."""
    results = outcomes(message="mean([77123.5]) returned 1; expected 82789.875", steps=tuple((t, True) for t in TASKS["mean"].checks))
    assert "77123" not in show(results) and "82789" not in show(results)


def test_paths_of_this_machine_are_left_out():
    html = show(outcomes(status="unreadable", message=f"the file cannot be read: [Errno 13] Permission denied: '/srv/class/{ROOT.name}/bob.ipynb'", steps=()))
    assert "srv" not in html and "bob" not in html and "the file cannot be read:" in html
    assert str(ROOT) not in show(outcomes(message=f"ValueError: {os.sys.prefix}/lib and {ROOT}/solutions"))


# Wrong answers and the hint that each must get: "" for none, None where a visible check fails already.
WRONG = {"the first value": ("def mean(x): return x[0] if len(x) < 3 else sum(x) / len(x)", "HINT-FIRST"),
         "a constant": ("def mean(x): return 3.0", "HINT-ANY"),
         "a division by zero": ("def mean(x): return 3.0 if len(x) == 3 else 1 / 0", ""),
         "an exception that quotes its input": ("def mean(x):\n    if len(x) == 2: raise ValueError(f'bad {x}')\n    return 3.0", ""),
         "the end of the process": ("def mean(x):\n    if len(x) == 2: import os; os._exit(0)\n    return 3.0", ""),
         "the input itself": ("def mean(x): return sum(x) / len(x) if len(x) == 2 or x[0] < 9 else x", "HINT-LARGE"),
         "a visible failure": ("def mean(x): return 9.0", None)}


@needs_sandbox
@pytest.mark.parametrize("name", WRONG)
def test_nothing_hidden_is_on_the_page(name):
    """Graded for real: markers in the hidden tests, their inputs and results, the seed and the other student stay away."""
    from course_lib.grading.grader import grade_submission
    from test_grading import cell
    answer, hint = WRONG[name]
    notebook = lambda text: dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        cell("from course_lib.checks import expect, run_check", "setup", locked=True), cell(text, "mean", solution=True), cell(CHECK, "check-mean", grade=True, points=4, locked=True)])
    ours = notebook("def mean(x): return sum(x) / len(x)")
    results = grade_submission(json.dumps(notebook(answer)).encode(), ours, SEED, LIMITS)
    assert results[0].points == 0
    html = show(results)
    assert [s for s in SECRETS if s in html] == []
    assert results[0].status == "killed" or ("What the check says" in html) == (hint is None)
    assert hint is None or (hint in html if hint else "HINT" not in html)


# What strangers write

ATTACKS = {"script": "<script>alert(1)</script>", "end of style": "</style><img src=x onerror=alert(1)>", "attribute": "\" onload=\"alert(1)", "link": "javascript:alert(1)",
           "quote": "' onclick='alert(1)", "template": "{{ 7919*6907 }}{% for i in range(9**9) %}{% endfor %}{{ config }}", "format": "{points.__class__.__mro__}{0}{most!r}", "comment": "<!-- -->]]><svg/onload=alert(1)>",
           "right to left": "abc\u202egnp.exe\u2066\u200f", "control": "a\0\x1b[31m\x08\r\x7f\x85", "surrogate": "\udc80", "marks": "a" + "\u0300" * 50, "ten megabytes": "x" * 10**7, "many lines": "\n" * 10**6}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strangers_text_is_only_text(attack):
    """The tags and attributes of the page are the same whatever stands in message, check text, reason and student id."""
    text = ATTACKS[attack]
    evil = lambda t: Tags(feedback_page(replace(grade(outcomes(message=t, tag=t[:50], steps=((t, False),)), decision=("mean", 1, "the lecturer", "r")), student=t[:1000]), CHAPTER, TASKS))
    plain, seen = evil("harmless"), evil(text)
    assert seen.tags == plain.tags
    differing = [(a, b) for a, b in zip(plain.attributes, seen.attributes, strict=True) if a != b]
    assert len(differing) == 1 and re.fullmatch("[0-9a-f]{32}", differing[0][1][1])         # the mark of the page alone
    assert not [n for n, _ in seen.attributes if n.startswith("on") or n in ("src", "srcset", "action", "data", "xlink:href")]
    assert [v for n, v in seen.attributes if n == "href"] == ["data:,"]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff\0-\x08\x0b-\x1f\x7f-\x9f]", seen.text)
    assert "54696533" not in seen.text and len(seen.text) < 40_000


def test_a_reason_is_escaped_and_cut():
    html = show(decision=("mean", 1, "the lecturer", ATTACKS["script"] + "y" * 10**6))
    assert "<script" not in html and len(html) < 40_000


def test_the_page_carries_its_policy():
    tags = Tags(show())
    policy = dict(tags.attributes)["content"]
    contents = [v for n, v in tags.attributes if n == "content"]
    assert any(v.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:") for v in contents), policy
    assert not set(tags.tags) & {"script", "iframe", "object", "embed", "form", "input", "a", "base"}


# Files

def some_grades(*students):
    return {s: replace(grade(), student=s) for s in students}


def test_pages_are_written_once_and_only_if_changed(tmp_path):
    grades = some_grades("ann", "bob")
    assert [r["changed"] for r in write_feedback(tmp_path / "f", CHAPTER, grades)] == [True, True]
    page_of = tmp_path / "f" / "ann" / f"{CHAPTER.name}.html"
    before = page_of.stat()
    assert [r["changed"] for r in write_feedback(tmp_path / "f", CHAPTER, grades)] == [False, False]
    assert page_of.stat().st_mtime_ns == before.st_mtime_ns and page_of.stat().st_ino == before.st_ino
    assert (tmp_path / "f").stat().st_mode & 0o077 == 0, "others on this machine may not read feedback"
    assert sorted(p.name for p in (tmp_path / "f" / "ann").iterdir()) == [page_of.name]


@pytest.mark.parametrize("kind", ["text", "binary", "link", "folder", "other student"])
def test_what_is_not_ours_stays(tmp_path, kind):
    path = tmp_path / "f" / "ann" / f"{CHAPTER.name}.html"
    path.parent.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_bytes(b"\xff\xfe precious")
    if kind == "text": path.write_text("my own notes")
    if kind == "binary": path.write_bytes(b"\xff\x00")
    if kind == "link": path.symlink_to(target)
    if kind == "folder": path.mkdir()
    if kind == "other student": path.write_text(feedback_page(some_grades("Ann")["Ann"], CHAPTER, TASKS))
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CourseError, match="move it away"):
        write_feedback(tmp_path / "f", CHAPTER, some_grades("ann"))
    assert target.read_bytes() == b"\xff\xfe precious" and (before is None or path.read_bytes() == before)


@pytest.mark.parametrize("student", ["../../out", "/etc/x", "..", ".", "", "a/b", "con", "-rf", "é" * 300, "\u202ex", "a\0b", "*"])
def test_names_stay_inside_the_folder(tmp_path, student):
    rows = write_feedback(tmp_path / "f", CHAPTER, some_grades(student))
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 1 and files[0].relative_to(tmp_path / "f").parts[1:] == (f"{CHAPTER.name}.html",) and rows[0]["changed"]


def test_different_students_never_share_a_file():
    ids = ["a/b", "a%2Fb", "a%2fb", ".", "%2E", "", "%", "con", "%63on", "x" * 101, "x" * 102, "é", "e\u0301"]
    assert len({page.safe_name(i) for i in ids}) == len(ids)


def test_an_unknown_student_is_one_line_with_similar_names(tmp_path):
    with pytest.raises(CourseError, match="'anm' has no graded submission of .*: similar names are ann"):
        write_feedback(tmp_path, CHAPTER, some_grades("ann", "zoe"), "anm")
    with pytest.raises(CourseError, match="run `course grade` first"):
        write_feedback(tmp_path, CHAPTER, {}, "ann")
    assert [r["student"] for r in write_feedback(tmp_path, CHAPTER, some_grades("ann", "zoe"), "zoe")] == ["zoe"]


# In a browser

CONTRAST = """() => {
    const lum = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]; };
    const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)/.test(c)) return c; } return 'rgb(255,255,255)'; };
    return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())).map(e => {
        const style = getComputedStyle(e), a = lum(e instanceof SVGElement ? style.fill : style.color), b = lum(back(e));
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.textContent.slice(0, 40)]; }); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_real_browser(browser, tmp_path, scheme, width):
    """No console message, no request but the file itself, no sideways scrolling, contrast of at least 4.5 everywhere."""
    text = show(outcomes(message=ATTACKS["end of style"] + ATTACKS["script"] + "long" * 200), late=True, decision=("mean", 1.5, "the lecturer", ATTACKS["attribute"]))
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf8")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    tab, said, requests = context.new_page(), [], []
    tab.on("console", lambda m: said.append(m.text))
    tab.on("pageerror", lambda e: said.append(str(e)))
    tab.on("dialog", lambda d: (said.append("dialog"), d.dismiss()))
    tab.on("request", lambda r: requests.append(r.url))
    tab.goto(path.as_uri())
    tab.wait_for_timeout(300)
    low = [c for c in tab.evaluate(CONTRAST) if c[0] < 4.5]
    sideways = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if folder := os.environ.get("SCREENSHOTS"):
        tab.screenshot(path=f"{folder}/feedback-{scheme}-{width}.png", full_page=True)
    context.close()
    assert said == [] and [r for r in requests if not r.startswith("data:")] == [path.as_uri()]
    assert low == [] and sideways <= 0
