"""The student's process answers the judge itself: forged, oversized, malformed, too early, too often, or as a pickle."""
import numpy as np

from .base import Attack, answer
from .exercise import SOFTMAX, WRONG

from course_lib.grading.wire import encode, pack

FORGED = pack({"value": encode(np.array([[0.25, 0.75]])), "args": encode(()), "kwargs": encode({}), "points": 4, "max_points": 4, "status": "passed", "held": True})
FUNCTION = pack({"value": {"ref": 0, "name": "softmax"}, "points": 4})
SCAN = """import gc, os, sys, time
def everywhere(data):
    "Write to all that is open."
    for fd in range(1, 256):
        try: os.set_blocking(fd, False); os.write(fd, data)
        except OSError: pass
"""
PICKLE = """body = b'''cbuiltins
eval
(S"open('@COURSE@/@MARK@','w').write('x') and {'points': 4, 'example': 0}"
tR.'''
"""


def reply(name, tries, code, **more):
    return Attack("replies", name, tries, answer(code, **more.pop("cells", {})), runner="reply", **more)


def value(name, tries, body, **more):
    """Something that softmax returns."""
    return Attack("replies", name, tries, answer(f"import os, sys\n{more.pop('before', '')}\ndef softmax(Z):\n" + "\n".join(f"    {line}" for line in body.splitlines())), runner="reply", **more)


ATTACKS = [
    reply("forged", "writes frames that say 4 points to all that is open, then ends", f"{SCAN}def softmax(Z):\n    everywhere({FORGED!r} * 2)\n    os._exit(0)"),
    reply("forged and goes on", "writes the frame and then answers wrongly", f"{SCAN}def softmax(Z):\n    everywhere({FORGED!r})\n    return 0 * Z"),
    reply("forged twice", "answers twice, so that the second answer stands for predict", f"{SCAN}def softmax(Z):\n    everywhere({FORGED!r} * 2)\n    os._exit(0)", cells={"predict": "def predict(Z): return None"}, honest={"softmax": 0, "predict": 0}),
    reply("before it is asked", "writes the frames when the cell runs", f"{SCAN}everywhere({FORGED!r} * 20)\n{WRONG}"),
    reply("before it is asked, in our order", "queues the answers to everything that the judge will ask, the function included", f"{SCAN}everywhere({pack({'value': None, 'points': 4})!r} * 4 + {FUNCTION!r} * 2 + {FORGED!r} * 20)\n{WRONG}"),
    reply("from a thread", "a thread goes on forging while softmax waits", f"{SCAN}import threading\ndef forge():\n    while True: everywhere({FORGED!r}); time.sleep(0.01)\ndef softmax(Z):\n    threading.Thread(target=forge, daemon=True).start()\n    time.sleep(0.3)\n    os._exit(0)"),
    reply("through files", "finds the open files of the process with gc and writes to them", f"""{SCAN}def softmax(Z):
    for o in gc.get_objects():
        try:
            if callable(getattr(o, 'fileno', None)) and not isinstance(o, type): os.write(o.fileno(), {FORGED!r})
        except Exception: pass
    sys.__stdout__.buffer.write({FORGED!r}); sys.__stdout__.buffer.flush()
    os._exit(0)"""),
    reply("through the worker", "finds the object that talks to the judge and lets it say what it likes", f"""{SCAN}def softmax(Z):
    forged = {{'value': [[0.25, 0.75]], 'args': {{'tuple': []}}, 'kwargs': {{'dict': []}}, 'points': 4}}
    for o in gc.get_objects():
        for name in ('send', 'reply', '_send', 'write_frame'):
            try:
                if type(o).__module__.startswith('course_lib'): getattr(o, name)(forged)
            except Exception: pass
    frame = sys._getframe()
    while frame:
        for o in list(frame.f_locals.values()):
            try:
                if hasattr(o, 'do_call') or hasattr(o, 'kept'):
                    type(o).do_call = lambda *a, **k: forged
                    o.send(forged)
            except Exception: pass
        frame = frame.f_back
    os.write(1, {FORGED!r} * 2)
    os._exit(0)"""),
    reply("through the frames", "returns from the frames above with a forged answer", f"""{SCAN}def softmax(Z):
    frame = sys._getframe().f_back
    while frame:
        for name, v in list(frame.f_locals.items()):
            if isinstance(v, dict) and ('op' in v or 'target' in v or 'points' in v): v.clear(); v.update(value=[[0.25, 0.75]], points=4)
            if name == 'held': frame.f_trace = None
        frame = frame.f_back
    os.write(1, {FORGED!r} * 2)
    os._exit(0)"""),
    reply("oversized", "announces a frame of 4 GB and sends it", f"{SCAN}def softmax(Z):\n    everywhere(b'\\xff' * 4)\n    for _ in range(100): everywhere(b'x' * 65536)\n    time.sleep(60)", proof="stopped"),
    reply("never finished", "announces a frame and sends half of it", f"{SCAN}def softmax(Z):\n    everywhere(b'\\0\\0\\1\\0' + b'{{')\n    time.sleep(60)", proof="stopped"),
    reply("byte by byte", "sends the frame so slowly that each wait is short", f"{SCAN}def softmax(Z):\n    for byte in {FORGED!r}: everywhere(bytes([byte])); time.sleep(0.2)\n    os._exit(0)", proof="stopped"),
    reply("malformed", "sends a frame that is no JSON object", f"{SCAN}def softmax(Z):\n    everywhere(b'\\0\\0\\0\\2[]' * 20)\n    os._exit(0)", proof="stopped"),
    reply("garbage", "sends random bytes", f"{SCAN}def softmax(Z):\n    everywhere(b'\\0\\0\\0\\x40' + bytes(range(64)) * 50)\n    os._exit(0)", proof="stopped"),
    reply("deep frame", "sends a frame that is nested a hundred thousand times", f"{SCAN}def softmax(Z):\n    body = b'{{\"value\":' + b'[' * 50_000\n    everywhere(len(body).to_bytes(4, 'big') + body)\n    os._exit(0)", proof="stopped"),
    reply("numbers that are none", "sends NaN and infinity as points", f"{SCAN}def softmax(Z):\n    body = b'{{\"value\": NaN, \"points\": 1e999, \"example\": 0}}'\n    everywhere((len(body).to_bytes(4, 'big') + body) * 3)\n    os._exit(0)"),
    reply("huge number", "sends a number with ten thousand digits", f"{SCAN}def softmax(Z):\n    body = b'{{\"value\": ' + b'9' * 10_000 + b'}}'\n    everywhere(len(body).to_bytes(4, 'big') + body)\n    os._exit(0)", proof="stopped"),
    reply("for ever", "never stops sending frames", f"{SCAN}def softmax(Z):\n    while True: everywhere({FORGED!r} * 100)", proof="stopped"),
    reply("endless requests", "asks the judge for a function's answer for ever", SCAN + """import struct
body = b'{"callback": 0, "args": {"tuple": []}, "kwargs": {"dict": []}}'
def softmax(Z):
    while True: everywhere(len(body).to_bytes(4, 'big') + body)""", proof="stopped"),
    reply("pickled frame", "sends a pickle that writes a file where it is read", f"{SCAN}{PICKLE}def softmax(Z):\n    everywhere(len(body).to_bytes(4, 'big') + body)\n    os._exit(0)", proof="written"),
    value("pickled answer", "returns an object that runs code when it is unpickled", "class Trap:\n    def __reduce__(self): return (eval, (\"open('@COURSE@/@MARK@', 'w').write('x')\",))\nreturn Trap()", proof="written"),
    value("pickled inside an array", "the same inside an array of objects", "class Trap:\n    def __reduce__(self): return (eval, (\"open('@COURSE@/@MARK@', 'w').write('x')\",))\na = np.empty(1, dtype=object)\na[0] = Trap()\nreturn a", proof="written"),
    value("oversized answer", "returns a text of 40 MB", "return 'x' * (40 << 20)", proof="flooded"),
    value("answer nested deeply", "returns a list in a list, a hundred thousand times", "y = []\nfor _ in range(10**5): y = [y]\nreturn y", proof="stopped"),
    value("answer that holds itself", "returns a list that contains itself", "y = []\ny.append(y)\nreturn [y, {'a': y}] if Z.shape != (1, 2) else (lambda: (yield y))()", proof="stopped"),
    value("answer that grows", "returns few bytes from which numpy makes many gigabytes", "return ['x' * 250_000] + ['a'] * 10_000", proof="stopped"),
    value("keys of one hash", "returns a dict whose keys all share one hash", "return {k * (2**61 - 1): 0 for k in range(10**5)}", proof="stopped"),
    value("many empty lists", "returns a million lists with nothing in them", "return [[] for _ in range(10**6)]", proof="", unproven="the unprotected runner only gets slower by it"),
    value("lone surrogate", "returns text that cannot be encoded", "return '\\ud800'", proof="stopped"),
    value("lone surrogate in an error", "raises text that cannot be encoded", "os.write(1, b'\\0\\0\\0\\0'); raise ValueError('\\ud800\\0')", proof="stopped"),
    value("endless iterator", "returns an iterator that never ends", "import itertools\nreturn (i for i in itertools.count())", proof="stopped"),
    value("handle", "returns an object that stays in the student's process and lies about itself", """class Lie:
    shape = (1, 2)
    def __getattr__(self, name): return lambda *a, **k: True
    def __reduce__(self): return (eval, ("__import__('os')._exit(0)",))
return Lie()""", proof="stopped"),
    value("own random numbers", "returns a random generator with a state of its own", "return np.random.default_rng(0)", proof="", unproven="the unprotected runner takes no generator from a student"),
    Attack("replies", "numbers of lent functions", "calls every function that the judge may have lent, by number", answer("""import gc
def softmax(Z):
    for w in gc.get_objects():
        if type(w).__name__ != 'Worker' and not hasattr(type(w), 'do_call'): continue
        for n in range(-5, 40):
            try: got = w.function(n, 'f')(Z)
            except RuntimeError: continue
            if getattr(got, 'shape', 0) == Z.shape: return got"""), proof="", unproven="the unprotected runner lends no functions; `reading: frame` takes the expected value from it directly"),
    Attack("replies", "earlier answer kept", "predict's worker hands the judge's softmax to nobody: softmax asks for it", answer("""def softmax(Z):
    import gc
    for f in gc.get_objects():
        if callable(f) and getattr(f, '__name__', '') in ('softmax', 'remote') and f is not softmax:
            got = f(Z)
            if got.shape == Z.shape: return got
    raise LookupError"""), proof="", unproven="the unprotected runner holds no reference solution in memory"),
]
