"""The student reads what is none of their business: solutions, checks, the gradebook, other submissions, the environment."""
from .base import Attack, answer, detector
from .importing import RUN_EXPORTS

ANSWER = """import json, re
def solution(path):
    "The answer cell of somebody's notebook."
    return next(c['source'] for c in json.load(open(path))['cells'] if c['metadata'].get('nbgrader', {}).get('grade_id') == 'softmax')
"""


def read(name, tries, code, **more):
    return Attack("reading", name, tries, answer(code), **more)


def leak(name, tries, body, **more):
    return Attack("reading", name, tries, answer(detector(body)), **more)


ATTACKS = [
    read("solution", "runs the reference from the instructor's notebook", f"{ANSWER}exec(solution('@COURSE@/solutions/@CHAPTER@.ipynb'))"),
    read("other submission", "runs another student's answer", f"{ANSWER}exec(solution('@COURSE@/submitted/neighbour/@CHAPTER@.ipynb'))"),
    read("course folder", "finds the course by walking up from the interpreter and runs the definitions of its chapter", RUN_EXPORTS + """import os, sys
folder = os.path.dirname(sys.executable)
while folder != '/' and not os.path.exists(folder + '/nbs/@CHAPTER@.ipynb'): folder = os.path.dirname(folder)
run_exports(folder + '/nbs/@CHAPTER@.ipynb', globals())"""),
    read("search", "walks the disk for a notebook with an answer", f"""{ANSWER}import os
for folder, _, files in [w for top in ('/srv', '/mnt', '/grader', '/w', '/var/tmp') for w in os.walk(top)]:
    for f in files:
        if f == '@CHAPTER@.ipynb':
            try: exec(solution(os.path.join(folder, f)))
            except Exception: pass
    if 'softmax' in globals(): break"""),
    read("open file", "reads the notebook that the grader has open, through /proc/self/fd", """import json, os
for fd in os.listdir('/proc/self/fd'):
    try:
        nb = json.loads(open(f'/proc/self/fd/{fd}').read())
        exec(next(c['source'] for c in nb['cells'] if c['metadata'].get('nbgrader', {}).get('grade_id') == 'softmax'))
        break
    except Exception: pass"""),
    read("frame", "finds the expected value in the caller's frame", """import sys
def softmax(Z):
    frame = sys._getframe()
    while frame and not ('want' in frame.f_locals and 'args' in frame.f_locals): frame = frame.f_back
    return frame.f_locals['want']"""),
    read("traceback", "finds the expected value by raising and looking at the frames below", """def softmax(Z):
    try: 1 / 0
    except ZeroDivisionError as e: frame = e.__traceback__.tb_frame
    while frame and not ('want' in frame.f_locals and 'args' in frame.f_locals): frame = frame.f_back
    return frame.f_locals['want']"""),
    read("inspect", "finds the expected value with inspect.stack", """import inspect
def softmax(Z): return next(i.frame.f_locals['want'] for i in inspect.stack(0) if 'want' in i.frame.f_locals)"""),
    read("gc", "finds an array of the right shape whose rows sum to one", """import gc
def softmax(Z):
    boxes = [o for o in gc.get_objects() if isinstance(o, (dict, tuple, list))]
    arrays = [v for b in boxes for v in (b.values() if isinstance(b, dict) else b) if type(v) is np.ndarray]
    import sys
    frame = sys._getframe(1)
    while frame: arrays += [v for v in frame.f_locals.values() if type(v) is np.ndarray]; frame = frame.f_back
    return next(a.copy() for a in arrays if a.shape == Z.shape and a.dtype == Z.dtype and np.allclose(a.sum(axis=1), 1))"""),
    read("thread frames", "looks for the check in the frames of every thread", """import sys
def softmax(Z):
    for frame in sys._current_frames().values():
        while frame:
            if 'want' in frame.f_locals and 'args' in frame.f_locals: return frame.f_locals['want']
            frame = frame.f_back"""),
    read("function of the check", "finds the check with gc and computes what its lines compute", """import gc
def softmax(Z):
    check = next(f for f in gc.get_objects() if callable(f) and getattr(f, '__name__', '') == 'check_softmax')
    E = check.__globals__['np'].exp(Z)
    return E / E.sum(axis=1, keepdims=True)"""),
    leak("hidden check", "searches all strings in memory for the hidden check", """import gc
texts = [o for o in gc.get_objects() if isinstance(o, (list, tuple, dict))]
texts = [v for t in texts for v in (t.values() if isinstance(t, dict) else t) if isinstance(v, str)]
return any(re.search('BEGIN H[I]DDEN TESTS', t) for t in texts)"""),
    leak("own memory", "searches its own memory through /proc/self/mem for the hidden check", """word = re.compile(rb'BEGIN H[I]DDEN TESTS')   # does not find itself
with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        low, high = (int(x, 16) for x in span.split('-'))
        if 'r' not in rights or high - low > 1 << 28 or '[v' in line: continue
        try: memory.seek(low); data = memory.read(high - low)
        except (OSError, ValueError, OverflowError): continue
        if word.search(data): return True
        del data"""),
    leak("environment", "reads a password from the environment", "return any(has_secret(v) for v in os.environ.values())"),
    leak("environment of the process", "reads /proc/self/environ", "return has_secret(open('/proc/self/environ', 'rb').read())"),
    leak("environment of the parents", "reads the environment of every process it can see",
         "import glob\nfor path in glob.glob('/proc/[0-9]*/environ'):\n    try:\n        if has_secret(open(path, 'rb').read()): return True\n    except OSError: pass"),
    leak("environment in C", "reads the C library's environ", "import ctypes\nget = ctypes.CDLL(None).getenv\nget.restype = ctypes.c_char_p\nreturn has_secret(get(b'COURSE_SECRET') or b'')"),
    leak("secret file", "reads a file of the instructor's", "return has_secret(open('@COURSE@/secret.txt').read())"),
    leak("gradebook", "reads the comments in the gradebook", "import sqlite3\nreturn has_secret(sqlite3.connect('file:@COURSE@/gradebook.db?mode=ro', uri=True).execute('select comment from grades').fetchall())"),
    leak("machine", "reads the list of the machine's users", "return 'root:' in open('/etc/passwd').read()"),
    leak("through a child", "asks another program to read the file", "import subprocess\nreturn has_secret(subprocess.run(['cat', '@COURSE@/secret.txt'], capture_output=True).stdout)"),
    leak("through the parent's root", "reads the file through the root folder of other processes",
         "import glob\nfor root in glob.glob('/proc/[0-9]*/root') + ['/proc/self/root', '/proc/thread-self/root']:\n    try:\n        if has_secret(open(root + '@COURSE@/secret.txt').read()): return True\n    except OSError: pass"),
    leak("through a descriptor", "climbs out of every open folder", """for fd in range(256):
    for up in ('..', '../..', '../../..', '../../../..', '../../../../..', '../../../../../..'):
        try: inner = os.open(up + '@COURSE@/secret.txt', os.O_RDONLY, dir_fd=fd)
        except OSError: continue
        return has_secret(os.read(inner, 100))
return has_secret(open('../' * 20 + '@COURSE@/secret.txt').read())"""),
]
