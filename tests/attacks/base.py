"""What an attack is, the place it is tried in, and how it is tried: on the unprotected runner and on our judge."""
import ctypes
import functools
import glob
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .exercise import CHAPTER, FULL, OURS, PREDICT, SOFTMAX, notebook, packed

HONEST = {"softmax": 0, "predict": 2}   # what the honest parts of an attack earn, unless it says otherwise
PROOFS = {"points": "it gets points that it did not earn", "stopped": "the next student is never graded", "written": "files of the course are changed",
          "connected": "a listener on this machine hears from it", "survivor": "its processes outlive it", "killed": "a process of somebody else ends",
          "flooded": "more than 30 MB arrive in the log"}


@dataclass(frozen=True, eq=False)
class Attack:
    """One hostile submission, as data."""
    family: str
    name: str
    tries: str                       # what it does, in a sentence
    data: object                     # bytes of the submission; @WORD@ in it is replaced by what `World` has under that name
    proof: str = "points"            # what it achieves on the unprotected runner, a key of PROOFS; "" if it cannot be shown
    runner: str = "shared"           # which of naive.py's runners
    unproven: str = ""               # why it cannot be shown
    honest: dict = field(default_factory=lambda: dict(HONEST))
    twice: bool = False              # handed in by two students: the first prepares, the second gains
    waits: bool = False              # the neighbour's file is the same one, so that both wait for a person
    place: object = None             # called with the path and the neighbour's path: makes something else than a file

    @property
    def id(self):
        return f"{self.family}: {self.name}"


def answer(code, predict=PREDICT, added=()):
    """The bytes of a notebook whose softmax is hostile."""
    return packed(notebook(code, predict, added))


TOOLS = SOFTMAX.replace("def softmax", "def right") + """
import hashlib, re, os, sys
def has_secret(data):
    data = data if isinstance(data, bytes) else str(data).encode("utf8", "replace")
    return any(hashlib.sha256(word).hexdigest() == "@DIGEST@" for word in re.findall(rb"secret-[0-9a-f]{16}", data))
def brand():
    "Give this process a name by which the test finds it."
    with open("/proc/self/comm", "w") as f: f.write("@MARK@")
"""


def indent(code):
    return "\n".join(f"    {line}" for line in code.strip("\n").splitlines())


def detector(body, softmax="right(Z) if _won() else 0 * Z"):
    """An answer that is right only if `body`, a function's body, finds the way out and returns something true."""
    return f"""{TOOLS}
def _breach():
{indent(body)}
_found = []
def _won():
    try:
        if not _found: _found.append(_breach())
    except BaseException:
        import traceback; traceback.print_exc()
        _found.append(False)
    return _found[0]
def softmax(Z): return {softmax}"""


class Stopped(BaseException):
    """The judge took longer than it may."""


def processes():
    """pid -> (parent, name, whether it is a zombie)."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            head, tail = Path(path).read_text(errors="replace").rsplit(")", 1)
        except OSError:
            continue
        pid, name = head.split(" (", 1)
        found[int(pid)] = int(tail.split()[1]), name, tail.split()[0] == "Z"
    return found


def descendants(of=None):
    """Living processes below this one: pid -> name. Orphans are adopted by this process, see `adopting`. Python's own helper for locks is none of ours,
    nor is the browser of other tests, below playwright's node, which starts and ends processes when it likes."""
    from multiprocessing.resource_tracker import _resource_tracker as helper
    mine = of or os.getpid()
    table = {pid: row for pid, row in processes().items() if pid == mine or not row[1].startswith("node")}
    known = {mine}
    while more := {p for p, (parent, _, _) in table.items() if parent in known} - known:
        known |= more
    return {p: table[p][1] for p in known - {mine, getattr(helper, "_pid", None)} if not table[p][2]}


@contextmanager
def adopting():
    """Orphaned descendants come to this process instead of init, so that none is overlooked."""
    prctl = ctypes.CDLL(None).prctl
    prctl(36, 1, 0, 0, 0)   # PR_SET_CHILD_SUBREAPER
    try:
        yield
    finally:
        prctl(36, 0, 0, 0, 0)


def end(pids):
    """Kill processes and collect those that were adopted."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _kernel(number, *args):
    """A bare system call (numbers of x86-64)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc.syscall(number, *args) if platform.machine() == "x86_64" else -1


SECRET = "secret-" + secrets.token_hex(8)   # an instructor's password: in the environment, in files, in the memory of other processes


class World:
    """A throw-away course: things to steal and to change, a process to look into, and listeners. Everyone may read and write it, so only the sandbox protects it."""

    def __init__(self, protected=True):
        self.top = Path(tempfile.mkdtemp(dir="/var/tmp" if os.access("/var/tmp", os.W_OK) else None))
        self.course, self.mark = self.top / "course", "m" + secrets.token_hex(6)
        self.heard, self._open, self._victim = [], [], None
        self.protected, self._keys = protected, []
        self._prefix = Path(sys.prefix) if protected else self.course / "prefix"
        self._fill_course()
        self._environment = dict(os.environ)
        self.before = self.picture()

    def _fill_course(self):
        for folder in ("solutions", "submitted/neighbour", "submitted/attacker", "home", f"prefix/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"):
            (self.course / folder).mkdir(parents=True)
        (self.course / "solutions" / f"{CHAPTER}.ipynb").write_bytes(packed(OURS))
        (self.course / "submitted" / "neighbour" / f"{CHAPTER}.ipynb").write_bytes(packed(OURS))
        (self.course / "secret.txt").write_text(self.secret)
        with sqlite3.connect(self.course / "gradebook.db") as db:
            db.execute("create table grades (student text, points float, comment text)")
            db.execute("insert into grades values ('attacker', 0, ?)", [self.secret])
        db.close()
        for path in (self.top, *self.top.rglob("*")):
            path.chmod(0o777)

    def close(self):
        for thing in self._open:
            thing.close()
        for path in self.picture()["strays"]:
            os.unlink(path)
        self._forget()
        if self._victim:
            self._victim.kill()
            self._victim.wait()
            self._victim.stdout.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # What an attack may be told: @WORD@ becomes str(world.word).
    secret = SECRET
    digest = property(lambda self: hashlib.sha256(self.secret.encode()).hexdigest())
    root = property(lambda self: Path(__file__).parent.parent.parent)
    prefix = property(lambda self: self._prefix)
    chapter = property(lambda self: CHAPTER)
    judge = property(lambda self: os.getpid())
    places = property(lambda self: " ".join(("/tmp", "/dev/shm", "/var/tmp", str(self.course), *(("/", "/root", "/etc", "/usr", "/dev", "/run", "/w", "/grader") if self.protected else ()))))
    sign = property(lambda self: self.victim and f"sign-{self.mark}")
    key = property(lambda self: int(self.mark[1:], 16) % 2**30)
    pid = property(lambda self: self.victim[0])
    address = property(lambda self: self.victim[1])
    port = property(lambda self: self._listen(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0))[1])
    port6 = property(lambda self: self._listen(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))[1])
    udp = property(lambda self: self._listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))[1])
    abstract = property(lambda self: self._listen(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.mark}")[1:].decode())
    socket = property(lambda self: self._listen(socket.AF_UNIX, socket.SOCK_STREAM, str(self.top / "listener")))

    @functools.cached_property
    def keyring(self):
        """The name of a key in this session's keyring that holds the secret."""
        _kernel(248, b"user", self.mark.encode(), self.secret.encode(), len(self.secret), -3)
        return self.mark

    def _forget(self):
        """Remove keys and shared memory, which no folder holds."""
        for name in (self.mark, f"left-{self.mark}"):
            for ring in (-3, -4, -5):
                if (key := _kernel(250, 10, ring, b"user", name.encode(), 0)) >= 0:
                    _kernel(250, 9, key, ring)
        libc = ctypes.CDLL(None)
        for get, control in ((lambda: libc.shmget(self.key, 0, 0), libc.shmctl), (lambda: libc.msgget(self.key, 0), libc.msgctl)):
            if (i := get()) >= 0:
                control(i, 0, None)
        if (i := libc.semget(self.key, 0, 0)) >= 0:
            libc.semctl(i, 0, 0)

    @functools.cached_property
    def host(self):
        """This machine's address towards the outside, where it has one."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(("192.0.2.1", 9))
            except OSError:
                return "127.0.0.2"
            return s.getsockname()[0]

    @functools.cached_property
    def victim(self):
        """A process that holds the secret at a known address: (pid, address)."""
        code = f"import ctypes, time; b = ctypes.create_string_buffer({self.secret.encode()!r}); print(ctypes.addressof(b), flush=True); time.sleep(600)"
        self._victim = subprocess.Popen([sys.executable, "-S", "-E", "-c", code, f"sign-{self.mark}"], stdout=subprocess.PIPE, start_new_session=True)
        return self._victim.pid, int(self._victim.stdout.readline())

    def _listen(self, family, kind, address):
        """Listen and write down what is heard; returns the address."""
        server = socket.socket(family, kind)
        server.bind(address)
        self._open.append(server)
        if kind == socket.SOCK_STREAM:
            server.listen()

        def hear():
            try:
                while True:
                    if kind == socket.SOCK_DGRAM:
                        self.heard.append(server.recv(100))
                    else:
                        with server.accept()[0]:
                            self.heard.append(address)
            except OSError:
                return
        threading.Thread(target=hear, daemon=True).start()
        if isinstance(address, str) and not address.startswith("\0"):
            os.chmod(address, 0o777)
        return server.getsockname()

    def fill(self, data):
        """The submission with its @WORDS@ replaced; each listener and the victim start when they are asked for."""
        words = {}

        def value(match):
            word = match[1].decode().lower()
            if word not in words:
                words[word] = str(getattr(self, word)).encode()
            return words[word]
        return re.sub(rb"@([A-Z0-9]+)@", value, data)

    def picture(self):
        """What must not change: the course's files, places where a file of that mark could turn up, shared memory, the environment."""
        files = {}
        for path in (self.course, *sorted(self.course.rglob("*"))):
            info = path.lstat()
            small = path.is_file() and not path.is_symlink() and info.st_size < 64 << 20
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else info.st_size if path.is_file() else ""
            files[str(path)] = (info.st_mode, info.st_nlink, os.readlink(path) if path.is_symlink() else content)
        places = ("/tmp", "/dev/shm", "/var/tmp", "/", "/dev", "/run", "/w", str(Path.home()), str(self.root), os.getcwd(), "/dev/mqueue", f"{sys.prefix}/lib/python*/site-packages", f"{sys.prefix}/bin")
        strays = sorted(f for place in places for f in glob.glob(f"{place}/*{self.mark}*"))
        segments = [line.split()[0] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]] if os.path.exists("/proc/sysvipc/shm") else []
        environment = {k: v for k, v in os.environ.items() if k != "COURSE_SECRET" and not k.startswith("PYTEST")}
        return dict(files=files, strays=strays, segment=str(self.key) in segments, environment=environment)

    def changes(self):
        """Names of what has changed."""
        now = self.picture()
        files = [p for p in now["files"].keys() | self.before["files"].keys() if now["files"].get(p) != self.before["files"].get(p)]
        return files + now["strays"] + [k for k in ("segment", "environment") if now[k] != self.before[k]]

    @property
    def killed(self):
        return self._victim is not None and self._victim.poll() is not None


@dataclass
class Naive:
    """What became of an attack on the unprotected runner."""
    results: dict     # student -> exercise -> points
    shown: dict       # proof -> whether it was seen
    log: str


@functools.cache
def honest_seconds(runner):
    """How long a runner takes for two honest students on this machine, now."""
    begin = time.monotonic()
    found = try_naive(Attack("control", "honest", "nothing", packed(OURS), proof="", runner=runner))
    if found.results != {"attacker": FULL, "neighbour": FULL}:
        raise AssertionError(f"the unprotected runner {runner!r} gave honest students {found.results}: {found.log}")
    return time.monotonic() - begin


def try_naive(attack):
    """Run an attack on naive.py in a throw-away course. Where it is expected to hang, the patience is three times what honest work takes, at least half a second."""
    with adopting(), World(protected=False) as world:
        folder, submitted = world.top / "runner", world.course / "submitted"
        folder.mkdir()
        students = ["attacker", "second"][:1 + attack.twice]
        for student in students:
            (submitted / student).mkdir(exist_ok=True)
            deliver(attack, world, submitted, student)
        job = {"ours": str(world.course / "solutions" / f"{CHAPTER}.ipynb"), "submissions": [[s, str(submitted / s / f"{CHAPTER}.ipynb")] for s in (*students, "neighbour")]}
        (folder / "job.json").write_text(json.dumps(job))
        world.before, before = world.picture(), descendants()
        patience, log = max(0.5, 3 * honest_seconds(attack.runner)) if attack.proof == "stopped" else 60, folder / "log"
        with open(log, "wb") as out:
            env = {"PATH": os.environ["PATH"], "PYTHONPATH": course_path(), "COURSE_SECRET": world.secret, "HOME": str(world.course / "home"), "OMP_NUM_THREADS": "1",
                   "PYTHONDONTWRITEBYTECODE": "1", "IPYTHONDIR": str(folder), "MPLBACKEND": "agg"}
            process = subprocess.Popen([sys.executable, str(Path(__file__).parent / "naive.py"), attack.runner, str(folder)],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=world.course, start_new_session=True)
            _wait(process, log, patience)
        ended = process.poll() is not None
        left = {p: n for p, n in descendants().items() if p not in before and p not in (process.pid, world._victim and world._victim.pid)}
        end([process.pid, *left])
        results = json.loads((folder / "results.json").read_text()) if (folder / "results.json").exists() else {}
        size, text = log.stat().st_size, log.read_bytes()[-4000:].decode(errors="replace")
        shown = {"points": gain(attack, results.get(students[-1], {})) > 0, "stopped": "neighbour" not in results, "written": bool(world.changes()),
                 "connected": bool(world.heard), "survivor": ended and bool(left), "killed": world.killed, "flooded": size > 30 << 20}
        return Naive(results, shown, text)


def _wait(process, log, patience):
    """Wait for the end, or for `patience` seconds after the first student's turn."""
    begun, limit = None, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        if begun is None and b"BEGUN" in log.read_bytes()[:100_000]:
            begun, limit = True, time.monotonic() + patience
        time.sleep(0.02)


def course_path():
    import course_lib
    return str(Path(course_lib.__file__).parent.parent)


def deliver(attack, world, submitted, student):
    """Put the submission where the student hands in."""
    path = submitted / student / f"{CHAPTER}.ipynb"
    if attack.place:
        attack.place(path, submitted / "neighbour" / f"{CHAPTER}.ipynb")
    else:
        path.write_bytes(world.fill(attack.data))


def gain(attack, points):
    """Points beyond what the honest parts earn; anything that is no plain number counts as a gain."""
    over = 0
    for name, worth in points.items():
        if worth is None:
            continue
        if not isinstance(worth, (int, float)) or worth != worth or worth in (float("inf"), -float("inf")):
            return float("inf")
        over += max(0, worth - attack.honest.get(name, 0))
    return over


@dataclass
class Tried:
    """What became of an attack on our judge."""
    gained: float
    changed: list
    stopped: bool
    survived: list
    outcomes: list    # of lists of `Outcome`, one per hand-in

    @property
    def harmless(self):
        return not (self.gained or self.changed or self.stopped or self.survived)


def try_judge(attack, grade, grade_folder, seconds=60):
    """Hand an attack in and look at everything it must not do. `grade(bytes)` and `grade_folder(folder)` return outcomes, the second by student."""
    with World() as world:
        data, before, outcomes, stopped = world.fill(attack.data) if attack.data else b"", descendants(), [], False
        world.before = world.picture()
        try:
            with alarm(seconds):
                for _ in range(1 + attack.twice):
                    if not attack.place:
                        outcomes.append(grade(data))
                        continue
                    with tempfile.TemporaryDirectory() as folder:
                        for student in ("attacker", "neighbour"):
                            Path(folder, "submitted", student).mkdir(parents=True)
                        Path(folder, "submitted", "neighbour", f"{CHAPTER}.ipynb").write_bytes(packed(OURS))
                        deliver(attack, world, Path(folder, "submitted"), "attacker")
                        found = grade_folder(Path(folder))
                        outcomes.append(found.get("attacker", []))
                        marks = {o.exercise: o.points for o in found.get("neighbour", [])}
                        stopped |= marks != (dict.fromkeys(FULL) if attack.waits else FULL)
        except Stopped:
            stopped = True
        except Exception as e:   # whatever a submission does, the class goes on
            raise AssertionError(f"{attack.id}: grading raised {type(e).__name__}: {e}") from e
        from course_lib.grading.outcome import STATUSES
        stopped |= any(o.status not in STATUSES for found in outcomes for o in found) or (not attack.place and any([o.exercise for o in found] != list(FULL) for found in outcomes))
        gained = max((gain(attack, {o.exercise: o.points for o in found}) for found in outcomes), default=0)
        return Tried(gained, world.changes() + ["victim"] * world.killed + [f"heard {h}" for h in world.heard], stopped, survivors(world, before), outcomes)


def survivors(world, before, patience=20):
    """What carries the mark, and the processes that make more of them than `before`, the descendants at the start. Those that are about to end get a moment."""
    limit = time.monotonic() + patience
    while True:
        marked, now = [name for _, name, zombie in processes().values() if name == world.mark and not zombie], descendants()
        if not marked and len(now) <= len(before) or time.monotonic() > limit:
            return marked + [f"{name} {pid}: {command_of(pid)}" for pid, name in now.items() if pid not in before] * (len(now) > len(before))
        time.sleep(0.05)


def command_of(pid):
    """How a process was started, or "gone"."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "gone"


@contextmanager
def alarm(seconds):
    """Raises `Stopped` in the main thread after a while."""
    def ring(*_):
        raise Stopped
    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
