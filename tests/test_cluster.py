"""The same class on this machine, on a Dask cluster of this host, and on one of two hosts made of network namespaces."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import needs_sandbox
from course_lib.grading.classroom import find_submissions, grade_chapter
from course_lib.grading.gradebook import Gradebook
from course_lib.settings import CourseError
from grading_speed.classes import numpy_class, write_class

STUDENTS = 14


@pytest.fixture
def chapter_and_folder(tmp_path, settings):
    chapter = settings.chapter("03")
    write_class(tmp_path / "submitted", chapter.name, numpy_class(chapter)[1], STUDENTS)
    return chapter, tmp_path / "submitted"


def marks(chapter, folder, name, settings, **how):
    book = Gradebook(f"sqlite:///{folder.parent / name}.db")
    grade_chapter(chapter, find_submissions(folder, chapter), book, settings.grading, **how)
    assert len(book.history("s0000", chapter.name)) == 1
    return {s: [(o.exercise, o.points, o.status) for o in outcomes] for s, (_, outcomes) in book.latest(chapter.name).items()}


def dask(command, *args, inside=()):
    """A process of Dask's in a session of its own."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen([*inside, sys.executable, "-m", "distributed.cli.dask_" + command, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=env)


def stop(*processes):
    for p in processes:
        try: os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        p.wait()


def wait_for(path, seconds=30):
    end = time.monotonic() + seconds
    while not Path(path).is_file() or not Path(path).read_text().strip():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.1)
    return json.loads(Path(path).read_text())["address"]


def wait_for_workers(address, count, seconds=40):
    from distributed import Client
    with Client(address, timeout=10, set_as_default=False) as client: client.wait_for_workers(count, timeout=seconds)


@needs_sandbox
def test_a_cluster_gives_the_same_marks_and_a_lost_worker_loses_nothing(chapter_and_folder, settings, tmp_path):
    chapter, folder = chapter_and_folder
    here = marks(chapter, folder, "here", settings, workers=2)
    file = tmp_path / "scheduler.json"
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    address = wait_for(file)
    workers = [dask("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", n) for n in "ab"]
    try:
        wait_for_workers(address, 2)
        def kill_one(items, total):
            for n, item in enumerate(items):
                if n == 2: os.killpg(workers[0].pid, signal.SIGKILL)
                yield item
        assert marks(chapter, folder, "cluster", settings, scheduler=address, progress=kill_one) == here
        assert workers[0].wait(5) == -signal.SIGKILL
    finally: stop(scheduler, *workers)
    assert len({str(m) for m in here.values()}) >= 3, "the class holds different work"


def _namespaces():
    """Whether network namespaces can be made here."""
    if os.getuid() != 0 or not shutil.which("ip"): return False
    made = subprocess.run(["ip", "netns", "add", "course-probe"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "delete", "course-probe"], capture_output=True)
    return made


@pytest.fixture
def two_hosts():
    """Two network namespaces joined by a cable, with addresses 10.231.7.1 and 10.231.7.2."""
    if not _namespaces(): pytest.skip("network namespaces need root and the program ip")
    names, run = [f"course{os.getpid()}{n}" for n in "ab"], lambda *args: subprocess.run(["ip", *args], check=True, capture_output=True)
    try:
        for name in names: run("netns", "add", name); run("-n", name, "link", "set", "lo", "up")
        run("link", "add", "v0", "netns", names[0], "type", "veth", "peer", "name", "v0", "netns", names[1])
        for n, name in enumerate(names, 1): run("-n", name, "addr", "add", f"10.231.7.{n}/24", "dev", "v0"); run("-n", name, "link", "set", "v0", "up")
        yield [("ip", "netns", "exec", name) for name in names]
    finally:
        for name in names: subprocess.run(["ip", "netns", "delete", name], capture_output=True)


COORDINATOR = """
import sys; from pathlib import Path
from test_cluster import marks
from course_lib.settings import read_settings
settings = read_settings(sys.argv[1])
print("MARKS", marks(settings.chapter("03"), Path(sys.argv[2]), "two-hosts", settings, scheduler=sys.argv[3]))
"""


@needs_sandbox
def test_two_hosts(chapter_and_folder, settings, tmp_path, two_hosts):
    """Scheduler and coordinator on one host, a worker on each; the worker of the far host disappears with its cable."""
    chapter, folder = chapter_and_folder
    here, address = marks(chapter, folder, "here", settings, workers=2), "tcp://10.231.7.1:8786"
    scheduler = dask("scheduler", "--host", "10.231.7.1", "--port", "8786", "--no-dashboard", inside=two_hosts[0])
    workers = [dask("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", f"10.231.7.{n}", inside=inside) for n, inside in enumerate(two_hosts, 1)]
    try:
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        ready = "import sys; from test_cluster import wait_for_workers; wait_for_workers(sys.argv[1], 2)"
        subprocess.run([*two_hosts[0], sys.executable, "-c", ready, address], check=True, env=env)
        ran = subprocess.run([*two_hosts[0], sys.executable, "-c", COORDINATOR, str(settings.root), str(folder), address], capture_output=True, text=True, env=env)
        assert f"MARKS {here}" in ran.stdout, ran.stderr[-2000:]
    finally: stop(*workers, scheduler)


def test_no_scheduler_is_one_line(settings):
    from course_lib.grading.pool import DaskPool
    with pytest.raises(CourseError, match="no Dask scheduler answers at 'tcp://127.0.0.1:9'.*dask scheduler"):
        DaskPool({}, settings.grading, scheduler="tcp://127.0.0.1:9")
