"""Grading is stopped at a random moment in six ways; after a rerun the grades must be those of an undisturbed run."""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from course_lib.grading.gradebook import Gradebook, sha256
from course_lib.settings import read_settings
from grading_speed.classes import numpy_class, write_class

CHAPTER, STUDENTS = "04", 20
COURSE = [sys.executable, "-m", "course_lib.cli"]


class Class:
    """A folder of submissions and the marks of an undisturbed run."""

    def __init__(self, home):
        self.home, self.settings = Path(home), read_settings(Path(__file__).parent.parent.parent)
        self.chapter = self.settings.chapter(CHAPTER)
        self.submitted = self.home / "submitted"
        write_class(self.submitted, self.chapter.name, numpy_class(self.chapter)[1], STUDENTS)
        self.originals = self.hashes()
        begin = time.monotonic()
        assert self.grade(self.home / "undisturbed.db").wait(120) == 0
        self.seconds = time.monotonic() - begin
        self.marks = self.read(self.home / "undisturbed.db")[0]

    def hashes(self):
        return {p: sha256(p.read_bytes()) for p in sorted(self.submitted.rglob("*.ipynb"))}

    def grade(self, book, *more):
        """Start `course grade` in a session of its own."""
        command = "from course_lib.cli import main; main()"
        args = [sys.executable, "-c", command, "grade", CHAPTER, "--submitted", str(self.submitted), "--gradebook", f"sqlite:///{book}", "--workers", "2", *more]
        return subprocess.Popen(args, cwd=self.settings.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def read(self, book):
        """Marks, and how often each student was graded."""
        book = Gradebook(f"sqlite:///{book}")
        marks = {s: [(o.exercise, o.points, o.status, o.tag) for o in outcomes] for s, (_, outcomes) in book.latest(self.chapter.name).items()}
        return marks, [len(book.history(s, self.chapter.name)) for s in marks]


def processes():
    """Process number -> (parent, command line) of everything that runs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1]), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def descendants(pid):
    """All processes below `pid`, with what they run."""
    everything, family = processes(), {pid}
    while more := {p for p, (parent, _) in everything.items() if parent in family} - family: family |= more
    return {p: everything[p][1] for p in family - {pid} if p in everything}


def kill(pid):
    with contextlib.suppress(ProcessLookupError): os.kill(pid, signal.SIGKILL)


def kill_some(pid, word, rng):
    """Kill one of the processes below `pid` whose command line holds `word`."""
    if those := sorted(p for p, line in descendants(pid).items() if word in line): kill(rng.choice(those))


@contextlib.contextmanager
def locked(book):
    """Another program holds the database, if there is one yet."""
    if not Path(book).exists(): yield; return
    other = sqlite3.connect(book, isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try: yield
    finally: other.rollback(); other.close()


@contextlib.contextmanager
def small_disk(folder, kb):
    """A file system with room for `kb` kilobytes at `folder`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kb}k", "tmpfs", str(folder)], check=True)
    try: yield
    finally: subprocess.run(["umount", "-l", str(folder)], check=True)
