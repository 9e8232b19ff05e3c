"""One trial: start grading, do harm at a random moment, grade again, compare."""
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import descendants, kill, kill_some, locked, processes, small_disk

KINDS = ("coordinator", "grader", "judge or worker", "locked database", "full disk", "dask worker")


def possible():
    """The kinds that this machine allows: a full disk is made by mounting a small one."""
    return [k for k in KINDS if k != "full disk" or os.getuid() == 0]


def harm(kind, process, book, rng):
    """What happens at the moment; returns when it is over."""
    if kind == "coordinator": kill(process.pid)
    elif kind == "grader": kill_some(process.pid, "grading.grader import serve; serve", rng)
    elif kind == "judge or worker": kill_some(process.pid, "grading.zygote", rng)
    elif kind == "locked database":
        with locked(book): time.sleep(rng.uniform(0.2, 3))


@contextlib.contextmanager
def cluster(folder):
    """A scheduler and two workers; yields its address and the workers' processes."""
    address = "tcp://127.0.0.1:%d" % (20000 + random.SystemRandom().randrange(20000))
    start = lambda *args: subprocess.Popen([sys.executable, "-m", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder)
    scheduler = start("distributed.cli.dask_scheduler", "--host", address, "--no-dashboard")
    workers = [start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    try:
        from distributed import Client
        with Client(address, timeout=30, set_as_default=False) as client: client.wait_for_workers(2, timeout=30)
        yield address, workers
    finally:
        for p in (scheduler, *workers): kill(p.pid); p.wait()


def run(the_class, kind, seed):
    """One trial; returns what is wrong afterwards, or nothing."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=the_class.home) as home, contextlib.ExitStack() as stack:
        book, more, workers = Path(home, "disk", "gradebook.db"), [], []
        book.parent.mkdir()
        if kind == "dask worker":
            address, workers = stack.enter_context(cluster(home))
            more = ["--scheduler", address]
        disk = stack.enter_context(small_disk(book.parent, rng.randrange(40, 400, 4))) if kind == "full disk" else None
        process = the_class.grade(book, *more)
        time.sleep(rng.uniform(0, 1.1 * the_class.seconds))
        family = descendants(process.pid)
        if kind == "dask worker": kill(rng.choice(workers).pid)
        else: harm(kind, process, book, rng)
        process.wait(300)
        if kind == "full disk": subprocess.run(["mount", "-o", "remount,size=64m", str(book.parent)], check=True)
        for _ in range(3):
            if the_class.grade(book, *more).wait(300) == 0: break
        return _wrong(the_class, book, family)


def _wrong(the_class, book, family):
    """Differences to the undisturbed run."""
    marks, runs = the_class.read(book)
    found = [] if marks == the_class.marks else [f"marks differ: {[s for s in the_class.marks if marks.get(s) != the_class.marks[s]]}"]
    if set(runs) != {1}: found.append(f"graded {runs} times")
    if the_class.hashes() != the_class.originals: found.append("an original changed")
    end = time.monotonic() + 10
    while (left := {p: line for p, line in family.items() if p in (now := processes()) and now[p][1] == line}) and time.monotonic() < end: time.sleep(0.1)
    return found + ([f"processes survive: {left}"] if left else [])
