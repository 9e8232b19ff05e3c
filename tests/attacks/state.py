"""The student leaves something for the next exercise, the next seed or the next student. The same notebook is handed in twice; it is right only if something was left."""
from .base import TOOLS, Attack, answer, indent


def channel(name, tries, find, leave, **more):
    code = f"""{TOOLS}
def find():
{indent(find)}
def leave():
{indent(leave)}
try: seen = find()
except BaseException: seen = False
try: leave()
except BaseException: pass
def softmax(Z): return right(Z) if seen else 0 * Z"""
    return Attack("state", name, tries, answer(code, predict="def predict(Z): return right(Z).argmax(axis=1) if seen else None"), twice=True, honest={"softmax": 0, "predict": 0}, **more)


def file(name, tries, path):
    return channel(name, tries, f"return os.path.exists({path})", f"os.makedirs(os.path.dirname({path}) or '.', exist_ok=True)\nopen({path}, 'w').write('seen')")


LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\ndef call(*a): return libc.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in a])\n"
ATTACKS = [
    file("temporary folder", "a file in /tmp", "'/tmp/@MARK@'"),
    file("working folder", "a file in the current folder", "'@MARK@'"),
    file("home", "a file in the home folder", "os.path.expanduser('~/@MARK@')"),
    file("shared memory file", "a file in /dev/shm", "'/dev/shm/@MARK@'"),
    file("python's folder for users", "a module among the user's packages", "__import__('site').getusersitepackages() + '/@MARK@.py'"),
    file("variable folder", "a file in /var/tmp", "'/var/tmp/@MARK@'"),
    file("course folder", "a file beside the submissions", "'@COURSE@/@MARK@'"),
    channel("shared memory", "a System V segment", LIBC + "return libc.shmget(@KEY@, 16, 0o600) >= 0", LIBC + "libc.shmget(@KEY@, 16, 0o1666)"),
    channel("semaphore", "a System V semaphore", LIBC + "i = libc.semget(@KEY@, 1, 0o600)\nif i >= 0: libc.semctl(i, 0, 0)\nreturn i >= 0", LIBC + "libc.semget(@KEY@, 1, 0o1666)"),
    channel("message queue", "a System V message queue", LIBC + "i = libc.msgget(@KEY@, 0o600)\nif i >= 0: libc.msgctl(i, 0, None)\nreturn i >= 0", LIBC + "libc.msgget(@KEY@, 0o1666)"),
    channel("keyring", "a key in the kernel's keyrings", LIBC + "return any(call(250, 10, ring, b'user', b'left-@MARK@', 0) >= 0 for ring in (-1, -2, -3, -4, -5))",
            LIBC + "for ring in (-4, -5, -3):\n    key = call(248, b'user', b'left-@MARK@', b'x', 1, ring)\n    call(250, 5, key, 0x3f3f3f3f)"),
    channel("module", "an attribute of a library", "return getattr(np, 'left', '') == '@MARK@'", "np.left = '@MARK@'"),
    channel("builtins", "a new builtin", "import builtins\nreturn hasattr(builtins, 'm@MARK@')", "import builtins\nbuiltins.m@MARK@ = 1"),
    channel("global", "a global variable", "return 'left_@MARK@' in globals()", "globals()['left_@MARK@'] = 1"),
    channel("imported module", "a module in sys.modules", "return '@MARK@' in sys.modules", "sys.modules['@MARK@'] = sys"),
    channel("environment", "an environment variable", "return os.environ.get('LEFT_@MARK@') == '1'", "os.environ['LEFT_@MARK@'] = '1'\nos.putenv('LEFT_@MARK@', '1')"),
    channel("path", "an entry of sys.path", "return '/@MARK@' in sys.path", "sys.path.append('/@MARK@')"),
    channel("garbage", "an object that only gc can find", "import gc\nreturn any(type(o).__name__ == 'L@MARK@' for o in gc.get_objects())", "T = type('L@MARK@', (), {})\na = T(); a.me = a; np.__dict__.setdefault('_kept', []).append(a)"),
    channel("thread", "a thread that lives on", "import threading\nreturn any(t.name == '@MARK@' for t in threading.enumerate())", "import threading, time\nthreading.Thread(target=time.sleep, args=(20,), name='@MARK@', daemon=True).start()"),
    channel("process", "a process that waits", "import glob\nreturn any(open(p).read().strip() == '@MARK@' for p in glob.glob('/proc/[0-9]*/comm'))", "import time\nif os.fork() == 0:\n    brand(); time.sleep(20); os._exit(0)\ntime.sleep(0.2)"),
    channel("process that listens", "a process that answers on an abstract socket", "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0left-@MARK@')\nreturn True",
            "import socket, time\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0left-@MARK@'); s.listen()\nif os.fork() == 0:\n    brand(); time.sleep(20); os._exit(0)"),
    channel("open file", "a file descriptor that is inherited", "return any(os.readlink(f'/proc/self/fd/{f}').startswith('/memfd:@MARK@') for f in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{f}'))", "os.set_inheritable(os.memfd_create('@MARK@', 0), True)"),
    channel("random numbers", "the state of numpy's old random numbers", "return np.random.get_state()[2] == 77 and np.random.get_state()[1][0] == 20261", "state = list(np.random.get_state())\nstate[1] = np.full(624, 20261, dtype=np.uint32); state[2] = 77\nnp.random.set_state(tuple(state))"),
    channel("signal handler", "a signal handler that stays", "import signal\nreturn getattr(signal.getsignal(signal.SIGUSR2), '__name__', '') == 'm@MARK@'", "import signal\ndef handler(*a): pass\nhandler.__name__ = 'm@MARK@'\nsignal.signal(signal.SIGUSR2, handler)"),
    channel("trace", "a trace function that stays and watches the next answer", "return sys.getprofile() is not None", "def watch(frame, event, arg): pass\nsys.setprofile(watch)"),
    channel("byte code", "a file beside the byte code of the interpreter's packages", "import glob\nreturn bool(glob.glob('@PREFIX@/lib/python*/site-packages/@MARK@*'))", "import glob\nfor d in glob.glob('@PREFIX@/lib/python*/site-packages'): open(d + '/@MARK@.pyc', 'w').write('x')"),
]
