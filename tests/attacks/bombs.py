"""The student uses up processes, threads, memory and disk. Each bomb is bounded in its own code; it is right only if it got more than it may have."""
import sys

from .base import Attack, answer, detector
from .exercise import WRONG

# The limits of the test are 2048 MB of memory, 4 MB of files and 16 processes; these bombs ask for more memory than that, or for memory that such a limit does not count.
MANY = 2300   # MB
ENDS_ITSELF = "Python 3.12 and later end such a recursion themselves"


def bomb(name, tries, body, **more):
    return Attack("bombs", name, tries, answer(detector(body)), **more)


def children(name, tries, code, **more):
    return Attack("bombs", name, tries, answer(detector(code, "0 * Z if _won() else 0 * Z")), proof=more.pop("proof", "survivor"), **more)


ATTACKS = [
    bomb("memory", "allocates and fills memory", f"b = [b'x' * (100 << 20) for _ in range({MANY // 100})]\nreturn len(b)"),
    bomb("one array", "allocates one huge array", f"return len(np.empty({MANY} << 17))"),
    bomb("anonymous map", "maps memory that belongs to no file", f"import mmap\nmaps = [mmap.mmap(-1, 100 << 20) for _ in range({MANY // 100})]\nreturn True"),
    bomb("nameless files", "holds memory in files without a name, which no mapping shows", """fds = []
for i in range(3):
    fds.append(os.memfd_create(f'm{i}'))
    for _ in range(100): assert os.write(fds[-1], b'x' * (1 << 20)) == 1 << 20
return True"""),
    bomb("many small nameless files", "the same in pieces below the limit of one file", """fds = []
for i in range(100):
    fds.append(os.memfd_create(f'm{i}'))
    for _ in range(3): os.write(fds[-1], b'x' * (1 << 20))
return sum(os.fstat(f).st_size for f in fds) == 300 << 20"""),
    bomb("shared memory", "holds memory in System V segments", """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = [ctypes.c_void_p]
held = 0
ids = []
try:
    for _ in range(4):
        i = libc.shmget(0, 100 << 20, 0o1600)
        if i < 0: break
        ids.append(i)
        p = libc.shmat(i, None, 0)
        if p in (None, 2**64 - 1): break
        ctypes.memset(p, 1, 100 << 20); libc.shmdt(p); held += 100
finally:
    for i in ids: libc.shmctl(i, 0, None)
return held == 400"""),
    bomb("pipes", "holds memory in pipes", """import fcntl
held, ends = 0, []
for _ in range(250):
    r, w = os.pipe(); ends += [r, w]
    fcntl.fcntl(w, 1031, 1 << 20); os.set_blocking(w, False)
    held += os.write(w, b'x' * (1 << 20))
for fd in ends: os.close(fd)
return held > 200 << 20"""),
    bomb("temporary folder", "fills the temporary folder", "import tempfile\nd = tempfile.mkdtemp()\ntry:\n    open(d + '/x', 'wb').write(b'x' * (64 << 20))\n    return os.path.getsize(d + '/x') == 64 << 20\nfinally:\n    import shutil; shutil.rmtree(d)"),
    bomb("many files", "writes hundreds of files of 1 MB", """import shutil, tempfile
d = tempfile.mkdtemp()
try:
    for i in range(100): open(f'{d}/{i}', 'wb').write(b'x' * (1 << 20))
    return len(os.listdir(d)) == 100
finally: shutil.rmtree(d)"""),
    bomb("many empty files", "uses up the file numbers of the disk", """import shutil, tempfile
d = tempfile.mkdtemp(dir='/dev/shm')
try:
    for i in range(20_000): os.close(os.open(f'{d}/{i}', os.O_CREAT))
    return True
finally: shutil.rmtree(d, ignore_errors=True)"""),
    bomb("shared memory files", "fills /dev/shm", "path = '/dev/shm/@MARK@'\ntry:\n    open(path, 'wb').write(b'x' * (64 << 20))\n    return os.path.getsize(path) == 64 << 20\nfinally: os.unlink(path)"),
    bomb("sparse file", "makes a file of 300 MB without writing it", "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.truncate(300 << 20)\n    return f.seek(0, 2) == 300 << 20"),
    bomb("threads", "starts 60 threads", "import threading, time\nthreading.stack_size(1 << 18)\nthreads = [threading.Thread(target=time.sleep, args=(1,), daemon=True) for _ in range(60)]\nfor t in threads: t.start()\nreturn len(threads) == 60"),
    bomb("memory of children", "lets each of three children hold 150 MB", """pipes = []
for _ in range(3):
    r, w = os.pipe()
    if os.fork() == 0:
        os.close(r); b = b'x' * (150 << 20); os.write(w, b'y')
        import time; time.sleep(1); os._exit(0)
    os.close(w); pipes.append(r)
won = all(os.read(r, 1) == b'y' for r in pipes)
for _ in range(3): os.wait()
return won"""),
    bomb("kernel objects", "makes hundreds of objects in the kernel", "import ctypes, select\nobjects = [select.epoll() for _ in range(300)]\nreturn len(objects) == 300"),
    children("fork", "starts 40 processes that sleep", "import time\nfor _ in range(40):\n    if os.fork() == 0:\n        brand(); time.sleep(30); os._exit(0)\nreturn True"),
    children("daemon", "leaves a process that has cut all ties", """import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        brand()
        for fd in range(256):
            try: os.close(fd)
            except OSError: pass
        import signal
        for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)
        time.sleep(30)
    os._exit(0)
return True"""),
    children("posix_spawn", "starts a program without fork", "os.posix_spawn('/bin/sh', ['@MARK@', '-c', 'sleep 30; true'], {'PATH': '/bin:/usr/bin'})\nreturn True"),
    children("subprocess", "starts a shell in the background", "import subprocess\nsubprocess.Popen('sleep 30 & sleep 30 & sleep 30', shell=True, start_new_session=True)\nreturn True"),
    children("bare clone", "makes a process with a bare system call", "import ctypes, time\nlibc = ctypes.CDLL(None)\nif libc.syscall(56, 17, 0, 0, 0, 0) == 0:\n    brand(); time.sleep(30); os._exit(0)\nreturn True"),
    children("bare fork and vfork", "makes processes with the oldest system calls", "import ctypes, time\nlibc = ctypes.CDLL(None)\nif libc.syscall(57) == 0:\n    brand(); time.sleep(30); os._exit(0)\nreturn True"),
    children("clone3", "makes a process with the newest system call", "import ctypes, time\nlibc = ctypes.CDLL(None)\nargs = (ctypes.c_uint64 * 8)(); args[4] = 17\nif libc.syscall(435, ctypes.byref(args), 64) == 0:\n    brand(); time.sleep(30); os._exit(0)\nreturn True"),
    children("multiprocessing", "starts a pool", "import multiprocessing as m, time\nfor _ in range(8): m.get_context('fork').Process(target=lambda: (brand(), time.sleep(30)), daemon=False).start()\nos._exit(0)", runner="exit"),
    children("fork that holds the pipe", "a child keeps the grader waiting for the end of the output", "import time\nif os.fork() == 0:\n    brand(); time.sleep(30); os._exit(0)\nos._exit(0)", proof="stopped", runner="reply"),
    Attack("bombs", "fork at import", "forks when the cell runs, and both go on", answer("import os, time\nif os.fork() == 0:\n    open('/proc/self/comm', 'w').write('@MARK@')\n    time.sleep(30)\n    os._exit(0)\n" + WRONG), proof="survivor"),
    Attack("bombs", "stack", "recursion in C until the process crashes", answer("import sys\nsys.setrecursionlimit(10**9)\ndef softmax(Z):\n    class A:\n        def __repr__(self): return repr([self])\n    return repr(A())"), proof="stopped" if sys.version_info < (3, 12) else "", unproven="" if sys.version_info < (3, 12) else ENDS_ITSELF),
    Attack("bombs", "crash", "reads address 0", answer("import ctypes\ndef softmax(Z): return ctypes.string_at(0)"), proof="stopped"),
    Attack("bombs", "crash at import", "crashes when the cell runs", answer("import ctypes\nctypes.string_at(0)"), proof="stopped"),
    Attack("bombs", "abort", "calls abort", answer("import os\ndef softmax(Z): os.abort()"), proof="stopped"),
]
