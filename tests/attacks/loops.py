"""The student's code never ends, and resists being ended."""
from .base import Attack, answer
from .exercise import WRONG


def loop(name, tries, code, **more):
    return Attack("loops", name, tries, answer(code), proof=more.pop("proof", "stopped"), **more)


# The compiler writes each finally block twice, and so the innermost one 2 ** 19 times.
NESTED = "".join(f"{'  ' * i}try: pass\n{'  ' * i}finally:\n" for i in range(19)) + "  " * 19 + "pass\n"

ATTACKS = [
    loop("plain", "while True", "def softmax(Z):\n    while True: pass"),
    loop("at import", "the cell never ends", "while True: pass"),
    loop("sleep", "sleeps for an hour", "import time\ndef softmax(Z): time.sleep(3600)"),
    loop("swallows exceptions", "catches whatever is raised into it", "def softmax(Z):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"),
    loop("swallows signals", "ignores and blocks every signal", """import signal
for s in signal.valid_signals():
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
def softmax(Z):
    while True: signal.sigtimedwait([], 10)"""),
    loop("waits for input", "reads from standard input", "import os, sys\nr, w = os.pipe()\nos.dup2(r, 0)\ndef softmax(Z): return os.read(0, 1)"),
    loop("deadlock", "waits for a lock that it holds", "import threading\nlock = threading.Lock()\nlock.acquire()\ndef softmax(Z): lock.acquire()"),
    loop("search in C", "a search that never comes back to Python", "import itertools\ndef softmax(Z): return 'b' in itertools.repeat('a')"),
    loop("regular expression", "a pattern that backtracks for ever", "import re\ndef softmax(Z): return re.match(r'(a+)+$', 'a' * 60 + 'b')"),
    loop("big number", "a power with billions of digits", "def softmax(Z): return 7 ** 7 ** 11"),
    loop("big text", "the decimal digits of a huge number", "import sys\nif hasattr(sys, 'set_int_max_str_digits'): sys.set_int_max_str_digits(0)\nn = 1 << (1 << 25)\ndef softmax(Z): return str(n)"),
    loop("numpy", "sorts and multiplies for ever in C", "def softmax(Z):\n    while True: np.sort(np.random.default_rng(0).random(3_000_000))"),
    loop("matrix", "one product of two huge matrices", "A = np.ones((3000, 3000))\ndef softmax(Z):\n    for _ in range(10**6): A @ A"),
    loop("sum in C", "one call that never comes back", "import itertools\ndef softmax(Z): return sum(itertools.repeat(1))"),
    loop("finaliser", "__del__ never ends", "class Sticky:\n    def __del__(self):\n        while True: pass\ndef softmax(Z):\n    Sticky()\n    return 0 * Z"),
    loop("at exit", "the process never ends by itself", "import atexit\ndef stay():\n    while True: pass\natexit.register(stay)\n" + WRONG, runner="exit"),
    loop("thread", "a thread keeps the process alive", "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n" + WRONG, runner="exit"),
    loop("busy threads", "threads take the processor while the answer is computed", "import threading\ndef spin():\n    while True: pass\nfor _ in range(8): threading.Thread(target=spin).start()\n" + WRONG, runner="exit"),
    loop("error text", "the text of the exception never ends", "class Endless(Exception):\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\ndef softmax(Z): raise Endless"),
    loop("error text at import", "the cell raises an exception whose text never ends", "class Endless(Exception):\n    def __str__(self):\n        while True: pass\nraise Endless", runner="ipython"),
    loop("answer that iterates for ever", "a list whose iterator never ends", "class Endless(list):\n    def __iter__(self):\n        while True: yield 1\n    def __len__(self): return 2\ndef softmax(Z): return Endless([1, 2])", runner="reply"),
    loop("answer without a name", "the function's name is computed for ever", "class F:\n    @property\n    def __name__(self):\n        while True: pass\n    def __call__(self, Z): return 0 * Z\nsoftmax = F()"),
    loop("conversion", "an entry of the answer never ends", "class Endless(list):\n    def __len__(self):\n        while True: pass\n    __iter__ = __getitem__ = __len__\ndef softmax(Z): return Endless([1])"),
    loop("garbage", "builds ever more garbage", "def softmax(Z):\n    while True:\n        a = []; a.append(a)"),
    loop("import hook", "an import in the check never ends", "import sys\nclass Finder:\n    def find_spec(self, *a):\n        while True: pass\nsys.meta_path.insert(0, Finder())\nsys.modules.pop('numpy.testing', None)\n" + WRONG),
    loop("alarm", "a timer interrupts it every millisecond", "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\ndef softmax(Z):\n    while True: pass"),
    loop("stops itself", "sends itself a stop signal", "import os, signal\ndef softmax(Z): os.kill(os.getpid(), signal.SIGSTOP)"),
    Attack("loops", "earlier function", "calls the judge's softmax for ever from predict", answer(WRONG, predict="def predict(Z):\n    while True: softmax(Z)"), proof="stopped", honest={"softmax": 0, "predict": 0}),
    Attack("loops", "huge argument", "hands the judge's softmax one large array after another", answer(WRONG, predict="def predict(Z):\n    while True: softmax(np.zeros((10_000, 100)))"), proof="stopped", honest={"softmax": 0, "predict": 0}),
    Attack("loops", "slow cells", "eighty cells that take half a second each", answer(WRONG, added=["import time; time.sleep(0.5)"] * 80), proof="stopped", honest={"softmax": 0, "predict": 2}),
    Attack("loops", "compiler", "a few lines that the compiler makes a million of", answer(NESTED + WRONG), proof="stopped"),
]
