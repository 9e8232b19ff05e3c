"""Item analysis and similarity: the numbers agree with other ways to compute them, strangers are not accused, hostile code stops nothing."""
import csv
import io
import json
import math
import os
import random
import re

import numpy as np
import pytest

from conftest import SETTINGS
from course_lib.grading import analysis, similarity
from course_lib.grading.analysis import alpha, chapter_report, csv_text, discrimination, facility, report_page, write_chapter_report
from course_lib.grading.feedback import HIDDEN_FAILURE, Task
from course_lib.grading.gradebook import Gradebook
from course_lib.grading.outcome import Outcome
from course_lib.grading.notebook import read_notebook
from course_lib.grading.similarity import COMMON_LEAST, Comparison, K, W, compare_chapter, known_code, kgrams, similar, similarity_page, tokens, winnow
from course_lib.settings import CourseError
from test_feedback import CONTRAST, Tags

CHAPTER = SETTINGS.chapter("03")
TASKS = {"mean": Task("Exercise 1", "03", ("mean(1) gives 1", "mean(2) gives 2"), 1), "slope": Task("Exercise 2", "03", ("slope(1) gives 1",), 1), "why": Task("Exercise 3", "03", (), 0)}


def outcome(name, points, stop=0):
    """A pass, or a failure at check number `stop`; one more than the visible checks is the hidden one."""
    texts = TASKS[name].checks
    if points:
        return Outcome(name, points, 4, "passed", steps=tuple((t, True) for t in texts), seconds=0.2)
    steps = tuple((t, k < stop) for k, t in enumerate(texts) if k <= stop)
    message = f"{HIDDEN_FAILURE} HINT-H" if stop == len(texts) else "bad\nLikely misconception (sign): HINT-V"
    return Outcome(name, 0, 4, "failed", "axis" if stop == len(texts) else "sign", message, steps, 0.1)


def grades(rows, late=()):
    book = Gradebook("sqlite://")
    for student, results in rows.items():
        book.add(student, CHAPTER.name, "a", "b", 1, "bubblewrap", student in late, results)
    return book.grades(CHAPTER.name)


def a_class(n=30, seed=0, written=None):
    rng, rows = np.random.default_rng(seed), {}
    for i in range(n):
        skill = rng.normal()
        rows[f"student-{i}"] = [outcome(x, 4 if skill + rng.normal() > 0 else 0, int(rng.integers(len(TASKS[x].checks) + 1))) for x in ("mean", "slope")] + [Outcome("why", written and written(i), 4, "by hand")]
    return grades(rows, late={"student-3", "student-4"})


# The statistics

def test_discrimination_is_numpys_correlation_and_scipys_interval():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    for n in (10, 31, 200):
        x, y = rng.integers(0, 5, n).astype(float), rng.normal(size=n)
        d, known = discrimination(x, y), stats.pearsonr(x, y)
        interval = known.confidence_interval(0.95)
        assert d.value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12) and (d.low, d.high) == pytest.approx((interval.low, interval.high), abs=1e-4)
        held = (x > 2).astype(float)
        assert discrimination(held, y).value == pytest.approx(stats.pointbiserialr(held, y)[0], abs=1e-12)


@pytest.mark.parametrize("item, rest, why", [([1, 0] * 4, range(8), "too few"), ([1] * 20, range(20), "no spread"), (range(20), [3] * 20, "no spread"),
                                             ([np.nan] * 20, range(20), "not graded"), (range(20), [np.nan] * 20, "no rest")])
def test_no_correlation_without_enough_to_say(item, rest, why):
    d = discrimination(np.array(list(item), float), np.array(list(rest), float))
    assert d.why == why and all(map(math.isnan, (d.value, d.low, d.high)))


def test_a_perfect_correlation_is_finite():
    d = discrimination(np.arange(12.0), 2 * np.arange(12.0))
    assert d.value == 1 and d.low <= 1 and d.high <= 1


def test_ungraded_work_is_nowhere_zero():
    """Half of the written answers are read: their facility is of those only, and they enter nobody's rest but where all are graded."""
    some = a_class(40, written=lambda i: 3.0 if i % 2 else None)
    full = chapter_report(CHAPTER, some, TASKS)
    mean, slope, why = full.exercises
    assert (why.graded, why.waiting, why.facility) == (20, 20, 0.75) and full.complete == 20 and len(full.waiting) == 20
    points = np.array([[o.points for o in g.outcomes[:2]] for g in some.values()])
    assert mean.discrimination.value == pytest.approx(np.corrcoef(points.T)[0, 1]) and mean.discrimination.students == 40
    nobody = chapter_report(CHAPTER, a_class(40), TASKS).exercises[2]
    assert math.isnan(nobody.facility) and nobody.discrimination.why == "not graded"


def test_checks_that_were_not_reached_are_left_out():
    rows = {f"s{i}": [outcome("mean", 0 if i < 9 else 4, i % 3), outcome("slope", 4), Outcome("why", None, 4, "by hand")] for i in range(12)}
    rows["lost"] = [Outcome("mean", 0, 4, "timeout"), Outcome("slope", 0, 4, "missing cell"), Outcome("why", None, 4, "by hand")]
    found = {(c.exercise, c.check): (c.reached, c.held) for c in chapter_report(CHAPTER, grades(rows), TASKS).checks}
    assert found == {("mean", "mean(1) gives 1"): (12, 9), ("mean", "mean(2) gives 2"): (9, 6), ("mean", "hidden checks"): (6, 3),
                     ("slope", "slope(1) gives 1"): (12, 12), ("slope", "hidden checks"): (12, 12)}


def test_a_check_whose_text_changed_does_not_count():
    old = Outcome("slope", 0, 4, "failed", "", "m", (("slope(9) gives 9", False),))
    report = chapter_report(CHAPTER, grades({"s": [outcome("mean", 4), old]}), TASKS)
    assert [c.reached for c in report.checks if c.exercise == "slope"] == [0, 0]


def test_misconceptions_have_counts_and_hints_but_no_students_text():
    rows = {f"s{i}": [outcome("mean", 0, 2 if i else 0)] for i in range(4)} | {"r": [Outcome("mean", 0, 4, "failed", "raises", "ValueError: MY-TEXT\nLikely misconception (raises): MY-TEXT")]}
    found = {t.tag: (t.students, t.hint) for t in chapter_report(CHAPTER, grades(rows), TASKS).tags}
    assert found == {"axis": (3, "HINT-H"), "sign": (1, "HINT-V"), "raises": (1, "")}


def test_late_unsafe_and_stale_are_counted():
    book = Gradebook("sqlite://")
    book.add("s", CHAPTER.name, "a", "b", 1, "none", True, [outcome("mean", 4)])
    book.decide("s", CHAPTER.name, "mean", 2, "the lecturer", "r")
    book.add("s", CHAPTER.name, "new", "b", 1, "none", True, [outcome("mean", 4)])
    report = chapter_report(CHAPTER, book.grades(CHAPTER.name), TASKS)
    assert (report.late, report.unsafe, report.exercises[0].facility, [w[:2] for w in report.waiting]) == (1, 1, 0.5, [("s", "mean")])


def test_decisions_count():
    book = Gradebook("sqlite://")
    book.add("s", CHAPTER.name, "a", "b", 1, "bubblewrap", False, [outcome("mean", 0)])
    book.decide("s", CHAPTER.name, "mean", 3, "the lecturer", "r")
    assert chapter_report(CHAPTER, book.grades(CHAPTER.name), TASKS).exercises[0].facility == 0.75


def test_nothing_graded_is_one_line():
    with pytest.raises(CourseError, match="run `course grade` first"):
        chapter_report(CHAPTER, {}, TASKS)


def test_alpha_needs_two_exercises_and_spread():
    assert math.isnan(alpha(np.zeros((20, 1)))) and math.isnan(alpha(np.zeros((20, 3)))) and math.isnan(alpha(np.zeros((0, 3))))
    assert alpha(np.repeat(np.arange(20.0)[:, None], 4, axis=1)) == pytest.approx(1) and math.isnan(facility(np.array([]), 4))


# Page and files

def test_the_page_names_no_student_and_says_it_in_words():
    made = report_page(chapter_report(CHAPTER, a_class(), TASKS), CHAPTER)
    assert "student-" not in made and 'role="img" aria-label="Histogram' in made
    tags = Tags(made)
    assert not set(tags.tags) & {"script", "img", "a", "iframe", "link rel"} and "30 students, 2 late" in tags.text


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-2+3", "@SUM(A1)", "|calc", "%0A", "\t=1", "\n=1", "<script>", 'a"b,c\nd', "\u202e=1"])
def test_csv_holds_no_formula(evil):
    rows = list(csv.reader(io.StringIO(csv_text(["s"], [[evil]]).lstrip("\ufeff"))))
    assert len(rows) == 2 and rows[1][0][0] not in "=+-@|%\t\n\r" and "\u202e" not in rows[1][0]


def test_a_strangers_text_is_only_text():
    evil = "</style><script>alert(1)</script>{{ 7919*6907 }}"
    rows = {evil: [Outcome("mean", 0, 4, "failed", evil, f"{HIDDEN_FAILURE} {evil}", ((evil, False),)), Outcome("why", None, 4, "by hand")]}
    found = Comparison({"mean": []}, {"mean": {evil: evil, "b": evil}}, [(evil, "mean", evil)], [similarity.Pair("mean", evil, "b", 5, 1.0, True)])
    for made in (report_page(chapter_report(CHAPTER, grades(rows), TASKS), CHAPTER, 1), similarity_page(found, CHAPTER)):
        assert "script" not in Tags(made).tags and "54696533" not in made and "alert(1)" in made


def test_the_report_keeps_what_is_not_its_own(tmp_path):
    report, folder = chapter_report(CHAPTER, a_class(), TASKS), tmp_path / CHAPTER.name
    folder.mkdir()
    for name in ("checks.csv", "index.html"):
        (folder / name).write_text("mine")
        with pytest.raises(CourseError, match="move it away"):
            write_chapter_report(tmp_path, CHAPTER, report)
        assert sorted(p.name for p in folder.iterdir()) == [name] and (folder / name).read_text() == "mine"
        (folder / name).unlink()
    (folder / "similar.csv").write_text("mine")
    write_chapter_report(tmp_path, CHAPTER, report)
    assert (folder / "similar.csv").read_text() == "mine"


def test_a_second_report_replaces_the_first(tmp_path):
    report = chapter_report(CHAPTER, a_class(), TASKS)
    found = Comparison({"mean": []}, {"mean": {"a": "x", "b": "x"}}, [], [similarity.Pair("mean", "a", "b", 5, 1.0, True)])
    write_chapter_report(tmp_path, CHAPTER, report, found)
    rows = list(csv.DictReader(open(tmp_path / CHAPTER.name / "similar.csv", encoding="utf-8-sig")))
    assert [(r["first"], r["second"]) for r in rows] == [("a", "b")]
    before = (tmp_path / CHAPTER.name / "checks.csv").stat().st_mtime_ns
    write_chapter_report(tmp_path, CHAPTER, report)
    assert not (tmp_path / CHAPTER.name / "similar.csv").exists() and not (tmp_path / CHAPTER.name / "similar.html").exists()
    assert (tmp_path / CHAPTER.name / "checks.csv").stat().st_mtime_ns == before


def test_numbers_in_the_files_are_those_of_the_report(tmp_path):
    report = chapter_report(CHAPTER, a_class(), TASKS)
    write_chapter_report(tmp_path, CHAPTER, report)
    rows = list(csv.DictReader(open(tmp_path / CHAPTER.name / "exercises.csv", encoding="utf-8-sig")))
    assert [float(r["facility"]) if r["facility"] else None for r in rows] == [e.facility if e.facility == e.facility else None for e in report.exercises]
    assert [float(r["discrimination"]) for r in rows[:2]] == [e.discrimination.value for e in report.exercises[:2]] and rows[2]["discrimination_why"] == "not graded"


# Similarity

def answer(rng, lines=6):
    """A random function body, so that two of them have nothing in common but by chance."""
    name, call, op = lambda: rng.choice("abcdefgh"), lambda: rng.choice(["sum", "mean", "exp", "log", "dot", "where", "clip", "sort"]), lambda: rng.choice(["+", "-", "*", "/", "@", "**"])
    body = [f"    {name()} = np.{call()}({name()} {op()} {name()}, {rng.randrange(3)}) {op()} {name()}[{rng.randrange(4)}:]" for _ in range(lines)]
    return "\n".join(["def f(a, b):", *body, "    return a"])


def disguised(text):
    return "# mine\n" + re.sub(r"\b([a-h])\b", r"my_\1", text).replace(" = ", "=").replace("\n    ", "\n\n        ")


def test_winnowing_keeps_its_guarantee():
    """Every window has a fingerprint, and any shared run of K + W - 1 tokens shares one; checked against the definition."""
    rng = random.Random(3)
    for n in (0, 1, W - 1, W, W + 1, 40):
        hashes = [rng.randrange(5) for _ in range(n)]
        chosen = winnow(hashes)
        assert all(min(hashes[i:i + W]) in [hashes[p] for p in chosen if i <= p < i + W] for i in range(n - W + 1))
        assert all(any(hashes[p] == min(hashes[i:i + W]) for i in range(max(0, p - W + 1), p + 1)) for p in chosen)


def test_fingerprints_do_not_depend_on_the_run():
    assert kgrams([(str(i), 1) for i in range(K)]) == [kgrams([(str(i), 9) for i in range(K)])[0]] and kgrams([("x", 1)] * (K - 1)) == []


def test_planted_copies_are_found_in_a_large_class():
    """1,000 students, five exercises, half of them with one of three common answers: the planted pairs are listed, no other."""
    rng = random.Random(1)
    for exercise in range(5):
        common = [answer(rng) for _ in range(3)]
        answers = {f"s{i}": answer(rng) if i % 2 else rng.choice(common) for i in range(1000)}
        answers |= {"copy1": disguised(answers["s1"]), "copy3": answers["s3"]}
        assert {(p.first, p.second, p.letter) for p in similar("f", answers)} == {("copy1", "s1", False), ("copy3", "s3", True)}


def test_common_answers_are_dropped_and_small_groups_are_not():
    rng = random.Random(2)
    same, others = answer(rng), {f"o{i}": answer(rng) for i in range(30)}
    assert len(similar("f", others | {f"s{i}": same for i in range(COMMON_LEAST)})) == COMMON_LEAST * (COMMON_LEAST - 1) // 2
    assert similar("f", others | {f"s{i}": same for i in range(COMMON_LEAST + 1)}) == []


def test_a_class_of_two():
    text = answer(random.Random(4))
    assert len(similar("f", {"a": text, "b": disguised(text)})) == 1 and similar("f", {"a": text}) == [] == similar("f", {})


REPAIRS = {"bce": "def bce(p, y):\n    p = p.reshape(-1)\n    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))",
           "best-of-run": """def best_of_run(w, updates, val_losses, patience):
    best, lowest, best_epoch, waited = w, float("inf"), 0, 0
    for epoch, (update, val_loss) in enumerate(zip(updates, val_losses), start=1):
        w += update
        if val_loss < lowest:
            best, lowest, best_epoch, waited = w.copy(), val_loss, epoch, 0
        else:
            waited += 1
        if waited >= patience: break
    return best, best_epoch, epoch"""}


@pytest.mark.parametrize("exercise", REPAIRS)
def test_the_same_small_repair_of_given_code_is_no_copy(exercise):
    """Two students who mend the given code in the same way, and nobody else hands in."""
    known = next(k[exercise] for c in SETTINGS.chapters if exercise in (k := known_code(read_notebook(c.solutions))))
    assert len(kgrams(tokens(REPAIRS[exercise]))) > 5
    assert similar(exercise, {"a": REPAIRS[exercise], "b": REPAIRS[exercise]}, known) == []


HOSTILE = {"deep": "(" * 15_000, "deep lists": "x = " + "[\n" * 5000, "one long line": "x = 1 + " * 3000, "one megabyte": "a = 1\n" * 180_000, "syntax": "def f(:\n  return 1 +", "string": "x = '''" + "a\n" * 5000,
           "quotes": "\n".join(["'" + "\\'" * 200] * 39), "dedent": "if 1:\n        a\n   b\n", "null": "a\0b\n", "surrogate": "x = '\udc80'\ny = \udc80", "form feed": "\f\v\x1c a = 1", "tabs": "\tx = 1\n" * 2000,
           "continued": "x = 1 \\\n" * 1500, "empty": "", "numbers": "9" * 15_000, "brackets": ")" * 400, "decorators": "@a\n" * 5000, "f-string": "f'{" * 80}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_stops_nothing(name):
    """The honest pair is still found beside it, and two copies of the hostile text do no harm either."""
    text = answer(random.Random(5))
    found = similar("f", {"a": text, "b": disguised(text), "h1": HOSTILE[name], "h2": HOSTILE[name]})
    assert ("a", "b") in [(p.first, p.second) for p in found]
    assert tokens(HOSTILE[name][:similarity.MAX_CHARS]) is not None


def test_student_code_is_never_parsed(monkeypatch):
    """ast.parse and compile may crash the process on hostile code; comparing and showing answers does not call them."""
    import ast
    import builtins
    text = answer(random.Random(6))
    found = Comparison({"f": []}, {"f": {"a": text, "b": disguised(text)}}, [], similar("f", {"a": text, "b": disguised(text)}))
    similarity_page(found, CHAPTER)                                    # Jinja compiles its own templates once
    real = builtins.compile
    monkeypatch.setattr(ast, "parse", lambda *a, **k: pytest.fail("parsed"))
    monkeypatch.setattr(builtins, "compile", lambda source, *a, **k: pytest.fail("compiled") if source == text else real(source, *a, **k))
    assert similar("f", {"a": text, "b": disguised(text)}) and similarity_page(found, CHAPTER)


def test_a_folder_of_submissions(tmp_path):
    """Links, files that are no notebooks and oversized answers are named, not followed, and the copied pair is found."""
    notebook = read_notebook(CHAPTER.solutions)
    name = next(iter(known_code(notebook)))
    def hand_in(student, text):
        data = text if isinstance(text, bytes) else json.dumps({"cells": [{"cell_type": "code", "source": text, "metadata": {"nbgrader": {"grade_id": name}}}]}).encode()
        (tmp_path / student).mkdir()
        (tmp_path / student / f"{CHAPTER.name}.ipynb").write_bytes(data)
    text = answer(random.Random(7))
    for student, source in {"ann": text, "bob": disguised(text), "eve": answer(random.Random(8)), "long": "x = 1\n" * 5000, "zip": b"PK", "deep": b"[" * 10**5, "num": b'{"cells": [{"cell_type": "code", "source": 5}]}'}.items():
        hand_in(student, source)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / f"{CHAPTER.name}.ipynb").symlink_to(tmp_path / "ann" / f"{CHAPTER.name}.ipynb")
    (tmp_path / "copy of ann").symlink_to(tmp_path / "ann")
    (tmp_path / "empty").mkdir()
    found = compare_chapter(tmp_path, CHAPTER, 2)
    assert [(p.exercise, p.first, p.second) for p in found.pairs] == [(name, "ann", "bob")]
    assert {(s, x) for s, x, _ in found.left_out if x in ("", name)} == {("long", name), ("zip", ""), ("deep", ""), ("num", ""), ("link", "")}
    assert sorted(found.answers[name]) == ["ann", "bob", "eve"]
    with pytest.raises(CourseError, match="no folder"):
        compare_chapter(tmp_path / "none", CHAPTER, 2)


def test_marked_lines_are_the_shared_ones():
    shared = answer(random.Random(9), 5).splitlines()[1:6]
    mine, theirs = [f"    while x < {n}: print(x, {n}); x **= {n} % 7" for n in range(5)], [f"    assert not any(y is {n} for y in z), z" for n in range(5)]
    left, right = similarity.evidence("\n".join(["def f(a, b):", *mine, *shared]), "\n".join(["def f(a, b):", *shared, *theirs]), [])
    assert [marked for _, marked in left] == [False] * 6 + [True] * 5 and [line for line, _ in left][1:6] == mine
    assert [marked for _, marked in right][1:] == [True] * 5 + [False] * 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_real_browser(browser, tmp_path, scheme, width):
    """No console message, no request but the file, no sideways scrolling of the page, contrast of at least 4.5."""
    text = answer(random.Random(7))
    answers = {"ann": text, "bob": disguised(text) + "\n</pre><script>alert(1)</script>"}
    paths = write_chapter_report(tmp_path, CHAPTER, chapter_report(CHAPTER, a_class(), TASKS), Comparison({"mean": []}, {"mean": answers}, [("eve", "mean", "too long")], similar("mean", answers)))
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    for path in paths[:2]:
        tab, said, requests = context.new_page(), [], []
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on("dialog", lambda d: (said.append("dialog"), d.dismiss()))
        tab.on("request", lambda r: requests.append(r.url))
        tab.goto("file://" + path)
        tab.wait_for_timeout(300)
        low, sideways = [c for c in tab.evaluate(CONTRAST) if c[0] < 4.5], tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if folder := os.environ.get("SCREENSHOTS"):
            tab.screenshot(path=f"{folder}/{os.path.basename(path)}-{scheme}-{width}.png", full_page=True)
        assert said == [] and len([r for r in requests if not r.startswith("data:")]) == 1 and low == [] and sideways <= 0
    context.close()
