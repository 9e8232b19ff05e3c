"""The gradebook keeps everything, says one clear line when it cannot, and its exports are read back as the platforms read them."""
import csv
import glob
import html.parser
import io
import json
import multiprocessing
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from course_lib.grading.exports import LIST, safe_cell, to_canvas, to_csv, to_gradescope, to_moodle, write_export
from course_lib.grading.gradebook import SCHEMA, Gradebook, sha256
from course_lib.grading.nbgrader_exchange import display_copy, harmless, import_nbgrader, to_nbgrader
from course_lib.grading.outcome import Outcome
from course_lib.grading.release import student_version
from course_lib.grading.roster import Student
from course_lib.settings import Chapter, CourseError

PASSED = Outcome("relu", 4, 4, "passed", steps=[("relu([-1, 2])", True)], seconds=0.25)
WAITS = Outcome("essay", None, 2, "by hand")
WRONG = Outcome("axis", 0, 3, "failed", "axis", "A hidden check did not hold. Sum over the columns.")
DEADLINE = datetime(2027, 3, 15, 15, 59, tzinfo=timezone.utc)


# --- databases to run on ---

@pytest.fixture(scope="module")
def postgresql():
    """A server of our own from system packages, on a socket in a temporary folder; gives a URL with a slot for the database."""
    programs = [p for p in [*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True), os.path.dirname(shutil.which("initdb") or "")] if p and Path(p, "initdb").exists()]
    if not programs:
        pytest.skip("PostgreSQL is not installed (no initdb)")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    user = next((u for u in ("postgres", "nobody") if any(p.pw_name == u for p in pwd.getpwall())), None) if os.getuid() == 0 else None
    if os.getuid() == 0 and not user:
        pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
    folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")   # short, since the path of a socket has at most 107 characters
    as_user = dict(user=user, extra_groups=[]) if user else {}
    if user:
        shutil.chown(folder, user)
    server = None
    try:
        subprocess.run([f"{programs[0]}/initdb", "-D", f"{folder}/data", "-U", "course", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"], check=True, cwd=folder, capture_output=True, **as_user)
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen([f"{programs[0]}/postgres", "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"], cwd=folder, stdout=log, stderr=log, **as_user)
        url = f"postgresql+psycopg://course@/{{}}?host={folder}"
        deadline = time.monotonic() + 30
        while True:
            try:
                sa.create_engine(url.format("postgres")).connect().close()
                break
            except sa.exc.OperationalError:
                assert server.poll() is None and time.monotonic() < deadline, Path(folder, "log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        if server:
            server.send_signal(signal.SIGINT)
            server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


COUNT = iter(range(10**6))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of an empty database; each test of the gradebook runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gradebook.db'}"
    server, name = request.getfixturevalue("postgresql"), f"test{next(COUNT)}"
    with sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT").connect() as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    return server.format(name)


@pytest.fixture
def book(url):
    return Gradebook(url)


def add(book, student="s1", chapter="03", results=(PASSED, WAITS), data=b"work", late=False):
    book.add(student, chapter, sha256(data), "checks", 7, "bubblewrap, Landlock", late, list(results))


def rows(url, table):
    with sa.create_engine(url).connect() as db:
        return db.execute(sa.text(f"SELECT * FROM {table}")).mappings().all()


# --- what is kept ---

def test_what_goes_in_comes_out(book, url):
    zeta_first = [replace(PASSED, exercise="zeta"), replace(WRONG, exercise="alpha"), WAITS]
    add(book, results=zeta_first, late=True)
    run, found = Gradebook(url).latest("03")["s1"]
    assert found == zeta_first, "order, steps, seconds and the empty points are as they were"
    assert (run.student, run.submission_sha256, run.checks_sha256, run.seed, run.sandbox, run.late) == ("s1", sha256(b"work"), "checks", 7, "bubblewrap, Landlock", True)
    assert datetime.fromisoformat(run.graded_at).tzinfo


def test_ungraded_is_null_and_never_zero(book, url):
    add(book)
    assert [r["points"] for r in rows(url, "outcomes")] == [4, None]
    assert book.grades("03")["s1"].points is None


def test_newest_run_of_each_student_counts_and_none_is_lost(book, url):
    for points in (0, 2, 4):
        add(book, results=[replace(PASSED, points=points)])
    add(book, "s2", results=[])
    add(book, "s1", "04")
    assert {s: [o.points for o in results] for s, (_, results) in book.latest("03").items()} == {"s1": [4], "s2": []}
    assert len(rows(url, "runs")) == 5


def test_graded_tells_what_need_not_be_graded_again(book):
    add(book, data=b"old")
    add(book, data=b"new")
    add(book, "s2", "04")
    assert book.graded() == {("s1", "03", sha256(b"new"), "checks"), ("s2", "04", sha256(b"work"), "checks")}
    assert book.graded("03") == {("s1", "03", sha256(b"new"), "checks")}, "the older file was handed in before the newer one, so it would be graded again"


def test_a_run_is_stored_whole_or_not_at_all(book, url):
    with pytest.raises(sa.exc.IntegrityError):
        add(book, results=[PASSED, PASSED])
    assert rows(url, "runs") == [] and rows(url, "outcomes") == []
    with pytest.raises(TypeError, match="sandbox"):
        book.add("s1", "03", "a", "b", 1, True, False, [PASSED])


def test_text_of_a_stranger_is_stored_as_it_is(book):
    odd = Outcome("relu", 0, 4, "failed", "x'); DROP TABLE runs;--", "\0 \ud800 \U0001f600 %s :name {}", [("f('\0')", False)])
    add(book, "Ann \u202e'; --", results=[odd])
    assert book.latest("03")["Ann \u202e'; --"][1] == [odd]


def test_a_thousand_submissions(book):
    results = [replace(PASSED, exercise=f"e{k}") for k in range(5)]
    for n in range(1000):
        add(book, f"s{n}", results=results, data=str(n).encode())
    assert len(book.graded("03")) == len(book.grades("03")) == 1000
    assert {g.points for g in book.grades("03").values()} == {20}


# --- decisions ---

def test_decisions_survive_regrades_and_new_checks(book):
    add(book)
    made = book.decide("s1", "03", "essay", 1.5, "ta", "half of it")
    book.decide("s1", "03", "relu", 3, "ta", "copied a comment")
    add(book)                                                                 # regraded
    book.add("s1", "03", sha256(b"work"), "other checks", 9, "none", False, [replace(PASSED, points=0, status="failed"), WAITS])
    grade = book.grades("03")["s1"]
    assert [(o.exercise, o.points, o.status) for o in grade.outcomes] == [("relu", 3, "failed"), ("essay", 1.5, "by hand")]
    assert grade.points == 4.5 and grade.stale == () and grade.decisions["essay"] == made
    assert (made.by, made.reason, made.submission_sha256) == ("ta", "half of it", sha256(b"work"))
    assert [o.points for o in book.latest("03")["s1"][1]] == [0, None], "the run itself is as it was graded"


def test_a_decision_on_an_older_submission_holds_and_is_flagged(book):
    add(book)
    book.decide("s1", "03", "essay", 2, "ta", "complete")
    add(book, data=b"new work")
    assert book.grades("03")["s1"].stale == ("essay",) and book.grades("03")["s1"].points == 6
    book.decide("s1", "03", "essay", 1, "ta", "looked again")
    assert book.grades("03")["s1"].stale == () and book.grades("03")["s1"].points == 5


def test_a_decision_above_a_new_maximum_is_flagged(book):
    add(book)
    book.decide("s1", "03", "essay", 2, "ta", "complete")
    add(book, results=[PASSED, replace(WAITS, max_points=1)])
    assert book.grades("03")["s1"].stale == ("essay",)


def test_a_decision_can_be_withdrawn(book):
    add(book)
    book.decide("s1", "03", "relu", 0, "ta", "copied")
    book.decide("s1", "03", "relu", None, "ta", "was not copied")
    grade = book.grades("03")["s1"]
    assert grade.decisions == {} and grade.outcomes[0].points == 4
    assert [getattr(what, "reason", None) for _, what, _ in book.history("s1", "03")] == [None, "copied", "was not copied"]


def test_decisions_of_an_exercise_that_is_gone_do_not_count(book):
    add(book)
    book.decide("s1", "03", "essay", 2, "ta", "complete")
    add(book, results=[PASSED])
    assert book.grades("03")["s1"].decisions == {} and book.grades("03")["s1"].points == 4


@pytest.mark.parametrize("wrong, says", [
    (("s9", "03", "essay", 1, "ta", "r"), "s9 has no graded submission of 03: known are s1"), (("s1", "05", "essay", 1, "ta", "r"), "nothing of 05 has been graded"),
    (("s1", "03", "nose", 1, "ta", "r"), "no exercise nose: it has relu, essay"), (("s1", "03", "essay", 3, "ta", "r"), "3 points for essay: expected 0 to 2"),
    (("s1", "03", "essay", -1, "ta", "r"), "expected 0 to 2"), (("s1", "03", "essay", float("nan"), "ta", "r"), "expected 0 to 2"),
    (("s1", "03", "essay", float("inf"), "ta", "r"), "expected 0 to 2"), (("s1", "03", "essay", 1, " ", "r"), "a name and a reason"), (("s1", "03", "essay", 1, "ta", ""), "a name and a reason")])
def test_a_decision_that_cannot_be_is_refused(book, url, wrong, says):
    add(book)
    with pytest.raises(CourseError, match=says):
        book.decide(*wrong)
    assert rows(url, "decisions") == []


def test_history_is_in_order_and_of_one_student(book):
    for k in range(3):
        add(book, data=str(k).encode())
        book.decide("s1", "03", "essay", k / 2, "ta", f"reason {k}")
        add(book, "s2")
    told = book.history("s1", "03")
    assert [type(what).__name__ for _, what, _ in told] == ["Run", "Decision"] * 3
    assert [what.submission_sha256 for _, what, _ in told] == [sha256(str(k // 2).encode()) for k in range(6)]
    assert [at for at, _, _ in told] == sorted(at for at, _, _ in told)
    assert told[0][2] == [PASSED, WAITS] and book.history("s3", "03") == []


def test_rows_are_only_added(book, url):
    """After everything that the gradebook can do, what was there before is still there, unchanged."""
    add(book)
    book.decide("s1", "03", "essay", 1, "ta", "first")
    book.exchange({"g": (1.0, "x")})
    before = {t: rows(url, t) for t in ("runs", "outcomes", "decisions", "exchanged")}
    add(book)
    book.decide("s1", "03", "essay", None, "ta", "second")
    book.exchange({"g": (2.0, "x")}, [("s1", "03", "essay", 2, "fg", "third", None)])
    Gradebook(url)
    for table, old in before.items():
        assert rows(url, table)[:len(old)] == old and len(rows(url, table)) > len(old)


# --- databases of other versions, and none at all ---

VERSION_1 = """CREATE TABLE runs (id INTEGER NOT NULL, student VARCHAR NOT NULL, chapter VARCHAR NOT NULL, submission_sha256 VARCHAR NOT NULL, checks_sha256 VARCHAR NOT NULL,
 seed INTEGER NOT NULL, sandboxed BOOLEAN NOT NULL, late BOOLEAN NOT NULL, graded_at VARCHAR NOT NULL, PRIMARY KEY (id));
CREATE TABLE outcomes (run INTEGER NOT NULL, exercise VARCHAR NOT NULL, points FLOAT, max_points INTEGER NOT NULL, status VARCHAR NOT NULL, tag VARCHAR NOT NULL, message TEXT NOT NULL,
 PRIMARY KEY (run, exercise), FOREIGN KEY(run) REFERENCES runs (id));
INSERT INTO runs VALUES (1, 's1', '03', 'a', 'b', 7, true, false, '2026-11-22T08:00:00+00:00');
INSERT INTO runs VALUES (2, 's2', '03', 'c', 'b', 8, false, true, '2026-11-22T08:00:01+00:00');
INSERT INTO outcomes VALUES (1, 'relu', 4, 4, 'passed', '', '');
INSERT INTO outcomes VALUES (1, 'zeta', NULL, 2, 'by hand', '', '');
INSERT INTO outcomes VALUES (2, 'relu', 0, 4, 'failed', 'axis', 'no')"""


def test_version_1_is_migrated_with_its_grades(url):
    with sa.create_engine(url).begin() as db:
        for statement in VERSION_1.replace("INTEGER NOT NULL, student", "SERIAL, student" if "postgres" in url else "INTEGER NOT NULL, student").split(";"):
            db.execute(sa.text(statement))
        if "postgres" in url:
            db.execute(sa.text("SELECT setval('runs_id_seq', 2)"))
    book = Gradebook(url)
    (first, found), (second, _) = book.latest("03")["s1"], book.latest("03")["s2"]
    assert [(o.exercise, o.points, o.steps, o.seconds) for o in found] == [("relu", 4, (), 0), ("zeta", None, (), 0)]
    assert (first.sandbox, second.sandbox, second.late, first.graded_at) == ("sandboxed", "none", True, "2026-11-22T08:00:00+00:00")
    add(book)
    book.decide("s2", "03", "relu", 1, "ta", "kind")
    assert Gradebook(url).grades("03")["s2"].points == 1 and len(book.history("s1", "03")) == 2
    assert rows(url, "schema") == [{"version": SCHEMA}]


def test_version_1_keeps_the_order_of_the_notebook(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with sa.create_engine(url).begin() as db:
        for statement in VERSION_1.replace("'zeta'", "'alpha'").split(";"):
            db.execute(sa.text(statement))
    assert [o.exercise for o in Gradebook(url).latest("03")["s1"][1]] == ["relu", "alpha"]


def test_a_migration_that_fails_changes_nothing(tmp_path):
    """A foreign database whose table happens to be called runs."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE runs (id INTEGER, distance FLOAT)")
        db.execute("CREATE TABLE outcomes (id INTEGER)")
    before = list(sqlite3.connect(path).execute("SELECT * FROM sqlite_master"))
    with pytest.raises(CourseError, match="is no gradebook"):
        Gradebook(f"sqlite:///{path}")
    assert list(sqlite3.connect(path).execute("SELECT * FROM sqlite_master")) == before


def test_a_newer_version_is_left_alone(book, url):
    with sa.create_engine(url).begin() as db:
        db.execute(sa.text("UPDATE schema SET version = 99"))
    with pytest.raises(CourseError, match=f"version 99, this course knows up to {SCHEMA}: update the course"):
        Gradebook(url)
    assert rows(url, "schema") == [{"version": 99}]


def test_opening_at_the_same_time(url):
    """Ten processes open an empty database at once; one makes the tables, all can write."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_open_and_add, [(url, f"s{k}") for k in range(10)])
    assert sorted(Gradebook(url).latest("03")) == [f"s{k}" for k in range(10)]


def _open_and_add(url, student):
    add(Gradebook(url), student)


@pytest.mark.parametrize("make, says", [
    (lambda p: p.write_bytes(b"not a database" * 100), "is no gradebook, or is damaged"), (lambda p: p.mkdir(), "cannot be opened"),
    (lambda p: sqlite3.connect(p).execute("CREATE TABLE assignment (id)").close(), "a database of another program")])
def test_what_is_no_gradebook(tmp_path, make, says):
    path = tmp_path / "gradebook.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CourseError, match=says) as e:
        Gradebook(f"sqlite:///{path}")
    assert "\n" not in str(e.value) and (before is None or path.read_bytes() == before)


@pytest.mark.parametrize("url, says", [
    ("postgresql+psycopg://course:secret@127.0.0.1:1/grades", "Connection refused"), ("gradebook.db", "no URL"), ("nosuch://x", "no driver for nosuch"),
    ("sqlite:////no/such/folder/gradebook.db", "check that its folder exists"), ("postgresql+psycopg://course@/x?host=/no/such/socket", "cannot be used")])
def test_an_address_that_leads_nowhere(url, says):
    with pytest.raises(CourseError, match=says) as e:
        Gradebook(url)
    assert "secret" not in str(e.value) and "\n" not in str(e.value)


def test_a_file_that_does_not_exist_is_made_only_if_wanted(tmp_path):
    with pytest.raises(CourseError, match="there is no gradebook"):
        Gradebook(f"sqlite:///{tmp_path / 'g.db'}", create=False)
    assert not (tmp_path / "g.db").exists()


def test_a_locked_database(tmp_path):
    path = tmp_path / "gradebook.db"
    book = Gradebook(f"sqlite:///{path}", wait=0.2)
    add(book)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CourseError, match="is locked by another program: wait") as e:
            add(book, "s2")
        assert book.grades("03").keys() == {"s1"}, "reading goes on"
        other.execute("ROLLBACK")
    assert "\n" not in str(e.value)
    add(book, "s2")
    assert Gradebook(f"sqlite:///{path}").grades("03").keys() == {"s1", "s2"}


def test_two_writers_wait_for_each_other(tmp_path):
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    Gradebook(url)
    def write(name):
        book = Gradebook(url)
        for k in range(100):
            add(book, f"{name}{k}")
            book.decide(f"{name}{k}", "03", "essay", 1, "ta", "r")
    threads = [threading.Thread(target=write, args=(n,)) for n in "abc"]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert {g.points for g in Gradebook(url).grades("03").values()} == {5} and len(Gradebook(url).graded()) == 300


def test_a_full_disk(tmp_path):
    """SQLite's own limit on pages raises what a full disk raises."""
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    book = Gradebook(url)
    add(book)
    book._engine.dispose()
    sa.event.listen(book._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1").close())
    with pytest.raises(CourseError, match="the disk is full: free some space") as e:
        for k in range(100):
            add(book, "s2", results=[Outcome("relu", 0, 4, "failed", "", "x" * 4000)], data=str(k).encode())
    assert "\n" not in str(e.value)
    stored = Gradebook(url)
    assert stored.latest("03")["s1"][1] == [PASSED, WAITS] and all(len(results) == 1 for s, (_, results) in stored.latest("03").items() if s == "s2")


def test_what_a_person_decides_waits_for_the_disk(tmp_path):
    """SQLite syncs before a decision is reported as stored; a run may be graded again, so it need not wait."""
    book, said = Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}"), []
    sa.event.listen(book._engine, "before_cursor_execute", lambda connection, cursor, statement, *rest: said.append(statement))
    add(book)
    assert said[:2] == ["PRAGMA synchronous = NORMAL", "BEGIN IMMEDIATE"]
    said.clear()
    book.decide("s1", "03", "essay", 1, "ta", "r")
    assert said[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
    with book._engine.connect() as db:
        assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal" and db.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1


def test_kill_loses_at_most_the_run_that_was_being_stored(tmp_path):
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    Gradebook(url)
    context = multiprocessing.get_context("spawn")
    done = context.Value("i", 0)
    process = context.Process(target=_add_forever, args=(url, done))
    process.start()
    while done.value < 50:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    found = Gradebook(url).latest("03")
    assert done.value <= len(found) <= done.value + 1 and all(results == [PASSED, WAITS] for _, results in found.values())


def _add_forever(url, done):
    book = Gradebook(url)
    while True:
        add(book, f"s{done.value}")
        done.value += 1


def test_a_server_that_goes_away(postgresql):
    """The connections are cut; the next use opens another one."""
    with sa.create_engine(postgresql.format("postgres"), isolation_level="AUTOCOMMIT").connect() as db:
        db.execute(sa.text("CREATE DATABASE gone"))
        book = Gradebook(postgresql.format("gone"))
        add(book)
        db.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gone'"))
        add(book, "s2")
        assert book.grades("03").keys() == {"s1", "s2"}
        db.execute(sa.text("DROP DATABASE gone WITH (FORCE)"))
        with pytest.raises(CourseError, match="cannot be used") as e:
            add(book, "s3")
        assert "\n" not in str(e.value)


# --- exports ---

CHAPTERS = [Chapter("03_forward", "Forward: neurons, losses", 6, DEADLINE, Path(".")), Chapter("04_backprop", "Backpropagation", 4, DEADLINE, Path("."))]
HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "=cmd|'/c calc'!A1", "Ann;=1+1", "Ann\n=1", 'a","=1']
ROSTER = {"ada": Student("ada", "Lovelace, Ada", "Ada@example.org", "11", "u11", "alovelace", "A"), "kim": Student("kim", "Kim", "", "", "", "", "B"), "none": Student("none", "No Work")}


@pytest.fixture
def course():
    book = Gradebook("sqlite://")
    add(book, "ada", "03_forward")
    book.decide("ada", "03_forward", "essay", 1.5, "ta", "a private remark")
    add(book, "ada", "04_backprop", [replace(PASSED, points=0, status="failed")])
    add(book, "kim", "03_forward", late=True)
    add(book, "eve", "04_backprop", [PASSED])
    return book


def table(export, name):
    """A CSV as its platform reads it; no cell of it can be a formula."""
    parsed = list(csv.reader(io.StringIO(export.files[name].lstrip("\ufeff"))))
    assert len({len(r) for r in parsed}) == 1
    assert not [c for r in parsed for c in r if c != "-" and c.strip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20") and c.strip()]
    return parsed


def test_canvas(course):
    export = to_canvas(course, CHAPTERS, ROSTER, ids={"03_forward": 4711})
    assert table(export, "canvas.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Forward: neurons, losses (4711)", "Backpropagation"],
        ["    Points Possible", "", "", "", "", "6", "4"], ["Lovelace, Ada", "11", "u11", "alovelace", "A", "5.5", "0"],
        ["eve", "", "", "eve", "", "", "4"], ["Kim", "", "", "kim", "B", "", ""]], "what waits is empty, a real zero is 0"
    said = "\n".join(export.warnings)
    assert "03_forward: 1 not graded in full, so without points: kim" in said and "1 not in the roster, exported under their folder's name: eve" in said
    assert "1 of the roster handed in nothing, so without a row: none" in said and "Canvas will look for the login kim" in said


def test_canvas_rules_that_a_name_could_break():
    book = Gradebook("sqlite://")
    for student in ("    Points Possible", "z", "tester"):
        add(book, student, "03_forward")
    roster = {"tester": Student("tester", "Student, Test"), "z": Student("z", "Z")}
    parsed = table(to_canvas(book, CHAPTERS[:1], roster), "canvas.csv")
    assert [r[0] for r in parsed if "Points Possible" in r[0]] == ["    Points Possible"] and parsed[1][5] == "6", "a student cannot set the points possible"
    assert parsed[-1][0] == "Student, Test"
    with pytest.raises(CourseError, match="Canvas ignores a column"):
        to_canvas(book, [replace(CHAPTERS[0], title="Final Score of all")])
    with pytest.raises(CourseError, match="is no Canvas assignment"):
        to_canvas(book, CHAPTERS[:1], ids={"03_forward": "x1"})


def test_partial_points_only_on_request(course):
    assert table(to_canvas(course, CHAPTERS, partial=True), "canvas.csv")[4][5:] == ["4", ""], "eve has nothing in 03, kim has 4 so far"


def test_moodle(course):
    export = to_moodle(course, CHAPTERS, ROSTER)
    parsed = table(export, "moodle.csv")
    assert parsed[0] == ["Email address", "Forward: neurons, losses", "Forward: neurons, losses (Feedback)", "Backpropagation", "Backpropagation (Feedback)"]
    assert [r[:2] + r[3:4] for r in parsed[1:]] == [["Ada@example.org", "5.5", "0"], ["eve", "-", "4"], ["kim", "-", "-"]]
    assert all(r[0] for r in parsed), "an empty identifier gives the grades to the student of the row before"
    assert parsed[3][2] == "relu: 4 of 4; essay: not graded yet (by hand)" and parsed[2][2] == ""
    assert any(w.startswith("kim has no email in the roster") for w in export.warnings)
    assert table(to_moodle(course, CHAPTERS, ROSTER, identifier="idnumber"), "moodle.csv")[1][0] == "u11"
    with pytest.raises(CourseError, match="expected idnumber, email, username"):
        to_moodle(course, CHAPTERS, identifier="shoe size")


def test_plain_csv(course):
    parsed = table(to_csv(course, CHAPTERS, ROSTER), "grades.csv")
    assert [dict(zip(parsed[0], r)) for r in parsed[1:]][0] == {"student": "ada", "name": "Lovelace, Ada", "email": "Ada@example.org", "section": "A",
        "03_forward points": "5.5", "03_forward of": "6", "03_forward waiting": "0", "03_forward late": "in time",
        "04_backprop points": "0", "04_backprop of": "4", "04_backprop waiting": "0", "04_backprop late": "in time"}
    assert parsed[3][4:8] == ["", "6", "1", "late"] and parsed[2][4:8] == ["", "", "", ""]


def test_gradescope(course):
    files = {n: json.loads(t) for n, t in to_gradescope(course, CHAPTERS).files.items()}
    assert sorted(files) == ["gradescope/03_forward/ada.json", "gradescope/03_forward/kim.json", "gradescope/04_backprop/ada.json", "gradescope/04_backprop/eve.json"]
    ada, kim = files["gradescope/03_forward/ada.json"], files["gradescope/03_forward/kim.json"]
    assert ada["score"] == 5.5 == sum(t["score"] for t in ada["tests"]) and ada["max_score"] == 6
    assert ada["tests"][1] == {"name": "essay", "number": "2", "max_score": 2, "score": 1.5, "status": "failed", "output": "graded by hand", "output_format": "text", "visibility": "visible"}
    assert "score" not in kim and "score" not in kim["tests"][1] and kim["tests"][1]["output"] == "not graded yet" and "deadline" in kim["output"]
    assert "a private remark" not in json.dumps(files)
    assert json.loads(to_gradescope(course, CHAPTERS, partial=True).files["gradescope/03_forward/kim.json"])["score"] == 4


def test_a_student_name_is_never_a_path(tmp_path):
    book = Gradebook("sqlite://")
    for student in ("../../evil", "..", "a/b"):
        add(book, student, "03_forward")
    export = to_gradescope(book, CHAPTERS[:1])
    write_export(tmp_path / "out", export)
    assert len(export.files) == 3 and all(n.count("/") == 2 and ".." not in n for n in export.files) and {p.name for p in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("name", HOSTILE)
def test_formula_injection(name):
    book = Gradebook("sqlite://")
    add(book, name, "03_forward", [replace(WRONG, tag=name)])
    roster = {name: Student(name, name, name, name, name, name, name)}
    for export, file in ((to_csv, "grades.csv"), (to_canvas, "canvas.csv"), (to_moodle, "moodle.csv")):
        for known in (roster, None):
            cells = [c for r in table(export(book, CHAPTERS[:1], known), file) for c in r]
            assert any(safe_cell(name) in c for c in cells)
            for cell in cells:                              # where ; or a tab parts cells, or a line breaks, no part may be a formula either
                assert not [p for p in cell.replace("\t", ";").replace("\n", ";").replace("\r", ";").split(";") if p.strip()[:1] in tuple("=+@\uff1d") and p.strip()], cell


def test_honest_text_is_not_changed():
    for text in ("Ann-Marie O'Neil", "王小明", "a@b.org", "3 - 4", "x = y", "f(x); g(x)", "Müller, Jörg", ""):
        assert safe_cell(text) == text


def test_nothing_graded_is_said(course):
    for export in (to_csv, to_canvas, to_moodle, to_gradescope):
        with pytest.raises(CourseError, match="nothing of 05 has been graded"):
            export(course, [replace(CHAPTERS[0], name="05")])


def test_a_stale_decision_is_said(course):
    add(course, "ada", "03_forward", data=b"new work")
    assert "03_forward: decisions on an older submission: ada (essay)" in to_csv(course, CHAPTERS).warnings


def test_an_export_replaces_only_its_own_files(course, tmp_path):
    assert write_export(tmp_path, to_canvas(course, CHAPTERS)) == ["canvas.csv"]
    assert write_export(tmp_path, to_canvas(course, CHAPTERS)) == []
    add(course, "new", "03_forward")
    assert write_export(tmp_path, to_canvas(course, CHAPTERS)) == ["canvas.csv"]
    (tmp_path / "canvas.csv").write_bytes(b"mine \xff")
    with pytest.raises(CourseError, match="canvas.csv is not as `course` wrote it"):
        write_export(tmp_path, to_canvas(course, CHAPTERS))
    assert (tmp_path / "canvas.csv").read_bytes() == b"mine \xff"
    for _ in range(2):
        write_export(tmp_path, to_canvas(course, CHAPTERS), force=True)
        (tmp_path / "canvas.csv").write_bytes(b"mine again")
    assert (tmp_path / "canvas.csv.old").read_bytes() == b"mine \xff" and (tmp_path / "canvas.csv.old2").read_bytes() == b"mine again"


def test_an_export_that_was_cut_short_can_be_repeated(course, tmp_path):
    write_export(tmp_path, to_canvas(course, CHAPTERS))
    before = (tmp_path / "canvas.csv").read_bytes()
    add(course, "new", "03_forward")
    write_export(tmp_path, to_canvas(course, CHAPTERS))
    (tmp_path / "canvas.csv").write_bytes(before)                                     # the list was written, the file not yet
    assert write_export(tmp_path, to_canvas(course, CHAPTERS)) == ["canvas.csv"]
    assert (tmp_path / LIST).is_file()


# --- nbgrader ---

def cell(kind, text, name=None, **meta):
    grader = dict(schema_version=3, grade_id=name, grade=False, solution=False, locked=False, task=False) | meta
    return dict(cell_type=kind, id=name or "own", source=text, metadata={"nbgrader": grader} if name else {}) | (dict(outputs=[], execution_count=None) if kind == "code" else {})


def notebook(*more):
    return dict(nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=dict(name="python3", display_name="Python 3", language="python")), cells=[
        cell("markdown", "# Doubling", "title", locked=True), cell("code", "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION", "double", solution=True),
        cell("code", "def check_double(double, rng):\n    expect(double, (2,), 4)\n    ### BEGIN HIDDEN TESTS\n    expect(double, (7,), 14)\n    ### END HIDDEN TESTS\nrun_check(check_double, double)",
             "check-double", grade=True, points=3, locked=True),
        dict(cell("code", "@wheat(check_double)\ndef double(x): return x + x"), metadata={"tags": ["instructor"]}),
        cell("markdown", "Say why.", "why", grade=True, solution=True, points=2), *more])


def submission(answer="def double(x): return 2 * x", why="Because.", *more):
    return json.dumps(dict(cells=[*more, cell("code", answer, "double", solution=True), cell("markdown", why, "why", grade=True, solution=True)])).encode()


class Nbgrader:
    """A chapter on disk, submissions of three students, and our gradebook."""
    def __init__(self, folder):
        pytest.importorskip("nbgrader", reason="nbgrader is not installed")
        self.chapter, self.out, self.book = Chapter("01_double", "Doubling", 5, DEADLINE, folder), folder / "nbgrader", Gradebook(f"sqlite:///{folder / 'gradebook.db'}")
        self.chapter.solutions.parent.mkdir()
        self.chapter.solutions.write_text(json.dumps(notebook()))
        self.data = {"ada": submission(), "kim": submission("def double(x): return 3 * x", "**No** idea"), "eve": b"PK no notebook"}
        self.grade("ada", 3, "passed"), self.grade("kim", 0, "failed"), self.grade("eve", None, "unreadable", "unreadable")

    def grade(self, student, points, status, why="by hand"):
        self.book.add(student, "01_double", sha256(self.data[student]), "c", 1, "bubblewrap", False, [Outcome("double", points, 3, status, "", "double(2) returned <b>6</b>" * (points == 0)), Outcome("why", None, 2, why)])

    def export(self, **options): return to_nbgrader(self.book, [self.chapter], self.out, lambda c, s: self.data.get(s), **options)
    def take(self): return import_nbgrader(self.book, self.out / "gradebook.db")

    def api(self):
        from nbgrader.api import Gradebook as Theirs
        return Theirs(f"sqlite:///{self.out / 'gradebook.db'}")

    def state(self):
        with self.api() as gb:
            return {(s, e): (g.auto_score, g.manual_score, g.needs_manual_grade) for s in self.data for e in ("check-double", "why") for g in [gb.find_grade(e, "01_double", "01_double", s)]}

    def give(self, student, exercise, score, **more):
        with self.api() as gb:
            grade = gb.find_grade(exercise, "01_double", "01_double", student)
            grade.manual_score, grade.needs_manual_grade = score, False
            for name, value in more.items():
                setattr(grade, name, value)
            gb.db.commit()


@pytest.fixture
def world(tmp_path):
    return Nbgrader(tmp_path)


def test_export_to_nbgrader(world):
    world.book.decide("kim", "01_double", "double", 1, "ta", "nearly")
    assert world.export(roster={"ada": Student("ada", "Lovelace, Ada", "ada@example.org")}) == ()
    assert world.state() == {("ada", "check-double"): (3, None, False), ("ada", "why"): (None, None, True), ("kim", "check-double"): (0, 1, False),
                             ("kim", "why"): (None, None, True), ("eve", "check-double"): (None, None, True), ("eve", "why"): (None, None, True)}
    with world.api() as gb:
        ada, assignment = gb.find_student("ada"), gb.find_assignment("01_double")
        assert (ada.last_name, ada.first_name, ada.email, gb.find_student("kim").last_name) == ("Lovelace", "Ada", "ada@example.org", "kim")
        assert assignment.duedate == DEADLINE.replace(tzinfo=None) and assignment.max_score == 5
        book = gb.find_notebook("01_double", "01_double")
        assert {c.name for c in book.grade_cells} == {"check-double", "why"} and {c.name for c in book.solution_cells} == {"double", "why"}
        assert {c.name for c in book.source_cells} == {"title", "double", "check-double", "why"}
        assert gb.find_submission("01_double", "kim").score == 1 and gb.find_submission("01_double", "eve").needs_manual_grade
        assert "\u200bb>6" in gb.find_comment("double", "01_double", "01_double", "kim").auto_comment


def test_the_folder_is_what_formgrader_expects(world):
    import nbformat
    world.export()
    assert sorted(p.relative_to(world.out).as_posix() for p in world.out.rglob("*.ipynb")) == [
        "autograded/ada/01_double/01_double.ipynb", "autograded/eve/01_double/01_double.ipynb", "autograded/kim/01_double/01_double.ipynb",
        "release/01_double/01_double.ipynb", "source/01_double/01_double.ipynb"]
    for path in world.out.rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))
    kim = json.loads((world.out / "autograded/kim/01_double/01_double.ipynb").read_text())
    assert [c["source"] for c in kim["cells"] if c["id"] in ("double", "why")] == ["def double(x): return 3 * x", "**No** idea"]
    everything = "\n".join(p.read_text() for p in [*world.out.rglob("autograded/**/*.ipynb"), *world.out.rglob("release/**/*.ipynb")])
    assert "check_double" in everything and "14" not in everything and "wheat" not in everything, "hidden checks and variants are not in what nbgrader could show to students"
    assert "wheat" not in (world.out / "source/01_double/01_double.ipynb").read_text()
    assert "this file is no notebook" in (world.out / "autograded/eve/01_double/01_double.ipynb").read_text()


def test_manual_scores_come_back_once(world):
    world.export()
    assert world.take() == (0, ())
    world.give("ada", "why", 1.5)
    world.give("kim", "check-double", 2)
    assert world.take() == (2, ()) and world.take() == (0, ())
    grade = world.book.grades("01_double")["ada"]
    assert grade.points == 4.5 and grade.decisions["why"].by == "formgrader"
    assert world.book.grades("01_double")["kim"].outcomes[0].points == 2
    world.export()
    assert world.take() == (0, ()) and world.state()["ada", "why"] == (None, 1.5, False)
    assert len(world.book.history("ada", "01_double")) == 2


def test_a_cleared_score_withdraws_the_decision(world):
    world.export()
    world.give("ada", "why", 1)
    world.take()
    world.give("ada", "why", None, needs_manual_grade=True)
    assert world.take() == (1, ()) and world.book.grades("01_double")["ada"].points is None


def test_a_newer_decision_of_ours_is_not_undone_by_an_import(world):
    world.export()
    world.give("ada", "why", 1)
    world.take()
    world.book.decide("ada", "01_double", "why", 2, "lecturer", "appeal")
    assert world.take() == (0, ()) and world.book.grades("01_double")["ada"].points == 5
    world.export()
    assert world.state()["ada", "why"] == (None, 2, False)


def test_extra_credit_counts_up_to_the_maximum(world):
    world.export()
    world.give("kim", "check-double", None, extra_credit=1)
    world.give("ada", "check-double", 3, extra_credit=1)
    count, said = world.take()
    assert count == 1 and world.book.grades("01_double")["kim"].outcomes[0].points == 1
    assert said == ("ada, 01_double, double: 4 points, expected 0 to 3; correct it in formgrader",)


def test_the_comment_is_the_reason(world):
    world.export()
    with world.api() as gb:
        gb.find_comment("why", "01_double", "01_double", "ada").manual_comment = "Well argued."
        gb.db.commit()
    world.give("ada", "why", 2)
    world.take()
    assert world.book.grades("01_double")["ada"].decisions["why"].reason == "graded in formgrader: Well argued."
    world.export()
    with world.api() as gb:
        assert gb.find_comment("why", "01_double", "01_double", "ada").manual_comment == "Well argued."


def test_scores_that_were_not_imported_are_not_overwritten(world):
    world.export()
    world.give("ada", "why", 1)
    with pytest.raises(CourseError, match="scores for ada were changed in formgrader and not imported"):
        world.export()
    assert world.state()["ada", "why"] == (None, 1, False)


def test_an_export_that_fails_leaves_nbgrader_as_it_was(world, monkeypatch):
    import course_lib.grading.nbgrader_exchange as exchange
    world.export()
    before, fill = world.state(), exchange._fill
    world.book.decide("ada", "01_double", "why", 2, "ta", "all")
    def fails_for_kim(gradebook, chapter, grade, *rest):
        if grade.student == "kim":
            raise RuntimeError("power failure")
        return fill(gradebook, chapter, grade, *rest)
    monkeypatch.setattr(exchange, "_fill", fails_for_kim)
    with pytest.raises(RuntimeError, match="power failure"):
        world.export()
    assert world.state() == before
    monkeypatch.undo()
    world.export()
    assert world.state()["ada", "why"] == (None, 2, False) and world.take() == (0, ())


def test_a_kill_between_both_gradebooks_is_mended_by_an_import(world, monkeypatch):
    world.book.decide("ada", "01_double", "why", 2, "ta", "all")
    monkeypatch.setattr(world.book, "exchange", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.export()
    monkeypatch.undo()
    with pytest.raises(CourseError, match="not imported"):
        world.export()
    assert world.take() == (0, ()) and world.export() == () and len(world.book.history("ada", "01_double")) == 2


def test_a_score_belongs_to_the_submission_that_was_shown(world):
    """The student hands in again between export and import: the decision is on the older file, and is flagged."""
    world.export()
    world.data["ada"] = submission(why="New.")
    world.grade("ada", 3, "passed")
    world.give("ada", "why", 1)
    world.take()
    assert world.book.grades("01_double")["ada"].stale == ("why",)
    world.export()
    assert world.state()["ada", "why"] == (None, 1, True), "nbgrader asks for a person"


def test_a_file_that_is_not_the_graded_one_is_not_shown(world):
    world.data["ada"] = submission("def double(x): return 'changed after grading'")
    assert world.export() == ("01_double: the file of ada that was graded is no longer there, so formgrader shows no answers",)
    assert "changed after grading" not in (world.out / "autograded/ada/01_double/01_double.ipynb").read_text()


def test_changed_exercises_need_a_new_folder(world):
    world.export()
    world.chapter.solutions.write_text(json.dumps(notebook(cell("markdown", "More.", "more", grade=True, solution=True, points=1))))
    with pytest.raises(CourseError, match="added or removed since the last export: export to a new folder"):
        world.export()


def test_what_is_no_nbgrader_gradebook(world, tmp_path):
    for path, says in ((tmp_path / "gradebook.db", "is no gradebook of nbgrader"), (tmp_path / "nothing.db", "there is no nbgrader gradebook"), (world.chapter.solutions, "cannot be opened")):
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(CourseError, match=says):
            import_nbgrader(world.book, path)
        assert (path.read_bytes() if path.exists() else None) == before
    world.export()
    with pytest.raises(CourseError, match="a database of another program"):
        Gradebook(f"sqlite:///{world.out / 'gradebook.db'}")


class Page(html.parser.HTMLParser):
    """Collects what a browser would act on."""
    def __init__(self):
        super().__init__()
        self.acts = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "iframe", "object", "embed", "svg", "img", "style", "link", "base", "form", "input", "meta", "video", "audio", "math"):
            self.acts.append((tag, attrs))
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc") or name in ("href", "src", "action") and not (value or "").lower().startswith(("http://", "https://", "#", "mailto:")):
                self.acts.append((tag, name, value))


VECTORS = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<ScRiPt\n>alert(1)</script>", "<svg/onload=alert(1)>", "<!--><script>alert(1)</script>", "<a href='javascript:alert(1)'>x</a>",
           "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](java&#115;cript:alert(1))", "[x](javascript&colon;alert(1))", "[x](&#106;avascript:alert(1))", "[x]\n\n[x]: javascript:alert(1)",
           "<javascript:alert(1)>", "[x](vbscript:a)", "[x](data:text/html,<script>alert(1)</script>)", "![x](http://example.org/pixel.png)", "![x][y]\n\n[y]: http://example.org/pixel.png",
           "![a](x\"onerror=\"alert(1))", "[a](http://x 't\" onmouseover=\"alert(1)')", "$\\href{javascript:alert(1)}{x}$", "$$<img src=x onerror=alert(1)>$$", "$<script>alert(1)</script>$",
           "\\begin{equation}<img src=x onerror=alert(1)>\\end{equation}", "<details open ontoggle=alert(1)>", "`<b>`", "```\n<script>alert(1)</script>\n```", "```html onclick=alert(1)\nx\n```", "<?php x ?>", "<style>*{}</style>"]


@pytest.mark.parametrize("text", VECTORS)
def test_a_submission_cannot_act_in_the_browser_of_who_reads_it(text):
    """Rendered as formgrader renders it. The plain text renders to something that acts for most of these; ours never does."""
    pytest.importorskip("nbconvert")
    from nbconvert.filters.markdown import markdown2html
    page = Page()
    page.feed(markdown2html(harmless(text)))
    assert page.acts == [] and harmless(text).replace("\u200b", "") == text


def test_the_vectors_do_act_without_protection():
    from nbconvert.filters.markdown import markdown2html
    acting = 0
    for text in VECTORS:
        page = Page()
        page.feed(markdown2html(text))
        acting += bool(page.acts)
    assert acting >= len(VECTORS) // 2, acting


def test_of_a_submission_only_text_is_shown():
    released = student_version(notebook())
    evil = dict(metadata={"kernelspec": {"name": "evil"}}, nbformat=4, cells=[
        dict(cell_type="raw", source="<script>raw</script>", metadata={"raw_mimetype": "text/html"}),
        dict(cell_type="code", source=["a", " = 1"], metadata={"nbgrader": {"grade_id": "double"}}, outputs=[{"output_type": "display_data", "data": {"text/html": "<script>out</script>"}}]),
        dict(cell_type="code", source="def check_double(*a): pass", metadata={"nbgrader": {"grade_id": "check-double", "points": 4321, "grade": True}}),
        dict(cell_type="markdown", source="<b>mine</b>", metadata={"nbgrader": {"grade_id": "why", "points": 4321}}, attachments={"x": {"text/html": "<script>"}}),
        dict(cell_type="markdown", source="added <b>text</b>", metadata={"tags": ["x"]}), dict(cell_type="code", source=7, metadata=None)])
    shown = display_copy(released, json.dumps(evil).encode())
    text = json.dumps(shown, ensure_ascii=False)
    assert "out</script>" not in text and "evil" not in text and "4321" not in text and "attachments" not in text and "pass" not in text
    by_id = {c["id"]: c for c in shown["cells"]}
    assert by_id["double"]["source"] == "a = 1" and by_id["why"]["source"] == "<\u200bb>mine<\u200b/b>" and by_id["why"]["metadata"]["nbgrader"]["points"] == 2
    assert next(c for c in shown["cells"] if c["source"].startswith("<script>raw"))["cell_type"] == "code"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"cells": 7}', b'{"cells": [7]}', b'{"cells": [{"metadata": {"nbgrader": 3}}]}', b'{"cells": null}', b"[" * 100_000, b"\xff\xfe", None,
                                  b'{"cells": [{"cell_type": [], "source": {"a": 1}, "metadata": {"nbgrader": {"grade_id": {}}}}]}', b'{"cells": [{"source": "\\ud800"}]}'])
def test_any_bytes_give_a_copy_that_can_be_stored(data):
    import nbformat
    shown = display_copy(student_version(notebook()), data)
    nbformat.validate(nbformat.reads(json.dumps(shown), as_version=4))
    json.dumps(shown, ensure_ascii=False).encode()
    assert {"double", "check-double", "why"} <= {c["id"] for c in shown["cells"]}


# --- commands ---

SETTINGS_INI = """[DEFAULT]
version = 0.1.0
[course]
title = A course
seeds = 0
timezone = UTC
lab_port = 8888
[chapters]
01_double = Doubling
02_triple = Tripling
[points]
01_double = 5
02_triple = 5
[deadlines]
01_double = 2027-03-15 23:59
02_triple = 2027-03-15 23:59
[grading]
seconds_per_cell = 10
seconds_per_check = 10
seconds_per_submission = 120
memory_mb = 4096
processes = 32
file_mb = 16
reply_mb = 8
notebook_mb = 16
"""


@pytest.fixture
def course_command(world, tmp_path, monkeypatch):
    """`course gradebook ...` in a course with one graded chapter; gives (exit status, stdout, stderr)."""
    from course_lib import cli
    (tmp_path / "settings.ini").write_text(SETTINGS_INI)
    for student, data in world.data.items():
        (tmp_path / "submitted" / student).mkdir(parents=True)
        (tmp_path / "submitted" / student / "01_double.ipynb").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))

    def run(*args, capsys):
        monkeypatch.setattr("sys.argv", ["course", "gradebook", *args])
        try:
            cli.main()
            status = 0
        except SystemExit as e:
            status = e.code
        out, err = capsys.readouterr()
        return (1, out, status) if isinstance(status, str) else (status or 0, out, err)
    return run


def test_commands_to_look_and_decide(course_command, world, capsys):
    status, out, _ = course_command("show", capsys=capsys)
    assert status == 0 and [line.split() for line in out.splitlines()] == [
        ["01_double"], ["ada", "-", "of", "5", "by", "hand:", "why"], ["eve", "-", "of", "5", "by", "hand:", "double,", "why"], ["kim", "-", "of", "5", "by", "hand:", "why"], ["02_triple:", "nothing", "graded", "yet"]]
    status, out, _ = course_command("decide", "ada", "01", "why", "1.5", "--by", "ta", "--reason", "half", capsys=capsys)
    assert (status, out) == (0, "ada, why: 1.5 points\n")
    status, out, _ = course_command("show", "01", "--json", capsys=capsys)
    ada = json.loads(out)["01_double"][0]
    assert (ada["points"], ada["decisions"][0]["reason"], json.loads(out)["01_double"][1]["points"]) == (4.5, "half", None)
    status, out, _ = course_command("history", "ada", "double", capsys=capsys)
    assert status == 0 and [line[21:] for line in out.splitlines()] == [f"graded {sha256(world.data['ada'])[:8]}: double 3, why -", "ta decided why 1.5: half"]
    assert course_command("decide", "ada", "01", "why", "none", "--by", "ta", "--reason", "mistake", capsys=capsys)[:2] == (0, "ada, why: withdrawn\n")
    assert [e["event"] for e in json.loads(course_command("history", "ada", "01", "--json", capsys=capsys)[1])] == ["graded", "decided", "decided"]


@pytest.mark.parametrize("args, says", [
    (("decide", "bob", "01", "why", "1", "--by", "x", "--reason", "y"), "bob has no graded submission of 01_double: known are ada, eve, kim"),
    (("decide", "ada", "01", "why", "many", "--by", "x", "--reason", "y"), "'many' is no number of points"), (("decide", "ada", "07", "why", "1", "--by", "x", "--reason", "y"), "unknown chapter '07'"),
    (("history", "bob", "01"), "nothing is known of 'bob'"), (("export", "excel"), "unknown format 'excel': expected csv, canvas, moodle, gradescope, nbgrader"), (("export", "csv", "02"), "nothing of 02_triple"),
    (("show", "--gradebook", "sqlite:///nothing.db"), "there is no gradebook nothing.db"), (("import-nbgrader", "nothing.db"), "there is no nbgrader gradebook nothing.db"),
    (("export", "nbgrader", "--submitted", "nowhere"), "no folder nowhere"), (("export", "csv", "--roster", "nothing.csv"), "nothing.csv cannot be read")])
def test_commands_say_in_one_line_what_is_wrong(course_command, tmp_path, capsys, args, says):
    before = sorted(p for p in tmp_path.rglob("*") if "-wal" not in p.name and "-shm" not in p.name)
    status, out, err = course_command(*args, capsys=capsys)
    assert status == 1 and says in err and len(err.strip().splitlines()) == 1 and out == ""
    assert sorted(p for p in tmp_path.rglob("*") if "-wal" not in p.name and "-shm" not in p.name) == before


@pytest.mark.parametrize("format, file", [("csv", "grades.csv"), ("canvas", "canvas.csv"), ("moodle", "moodle.csv"), ("gradescope", "gradescope/01_double/ada.json")])
def test_commands_to_export(course_command, tmp_path, capsys, format, file):
    (tmp_path / "roster.csv").write_text("student,name,email\nada,Ada,ada@example.org\nkim,Kim,kim@example.org\n")
    status, out, err = course_command("export", format, capsys=capsys)
    assert status == 0 and f"exports/{file}" in out and "1 not in the roster, exported under their folder's name: eve" in err
    text = (tmp_path / "exports" / file).read_text()
    assert "02_triple" not in text and "Tripling" not in text, "a chapter without grades has no column"
    assert course_command("export", format, capsys=capsys)[1] == "exports: unchanged\n"
    (tmp_path / "exports" / file).write_text("mine")
    assert course_command("export", format, capsys=capsys)[0] == 1 and (tmp_path / "exports" / file).read_text() == "mine"
    assert course_command("export", format, "--force", capsys=capsys)[0] == 0 and (tmp_path / "exports" / file).read_text() == text
    assert (tmp_path / "exports" / f"{file}.old").read_text() == "mine"


def test_commands_to_nbgrader_and_back(course_command, world, tmp_path, capsys):
    status, out, err = course_command("export", "nbgrader", capsys=capsys)
    assert status == 0 and "course: note" not in err and (tmp_path / "exports/nbgrader/autograded/kim/01_double/01_double.ipynb").is_file()
    world.out = tmp_path / "exports" / "nbgrader"
    world.give("ada", "why", 2)
    world.give("kim", "why", 7)
    status, out, err = course_command("import-nbgrader", "exports/nbgrader/gradebook.db", "--by", "ta", capsys=capsys)
    assert (status, out) == (1, "1 decisions added\n") and "kim, 01_double, why: 7 points, expected 0 to 2" in err
    assert world.book.grades("01_double")["ada"].decisions["why"].by == "ta"
