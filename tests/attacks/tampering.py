"""The student changes what the checks are made of: asserts, numpy, builtins, equality, imports, IPython, the check itself."""
from .base import Attack, answer
from .exercise import SOFTMAX, WRONG

RIGHT_FIRST = {"softmax": 4, "predict": 0}   # where predict is the part that cheats


def first(name, tries, code, **more):
    return Attack("tampering", name, tries, answer(code, **more.pop("cells", {})), **more)


def second(name, tries, code, **more):
    """softmax is honest, predict cheats."""
    return Attack("tampering", name, tries, answer(SOFTMAX, predict=code, **more.pop("cells", {})), honest=RIGHT_FIRST, **more)


ATTACKS = [
    first("numpy function", "np.asarray turns the wrong answer into the expected one", f"""import sys
_asarray = np.asarray
def _lie(a, *args, **k):
    want = sys._getframe(1).f_locals.get('want')
    return _asarray(want) if want is not None and isinstance(a, np.ndarray) and not a.any() else _asarray(a, *args, **k)
np.asarray = _lie
{WRONG}"""),
    first("expect", "course_lib.checks.expect does nothing, also where it was imported", f"import sys\nexpect = sys.modules['course_lib.checks'].expect = lambda *a, **k: None\n{WRONG}"),
    first("run_check", "an added cell before the check redefines run_check", WRONG, cells={"added": ["def run_check(*a, **k): return 'all visible checks hold'"]}),
    first("difference", "the comparison in course_lib.checks finds no difference", f"import sys\nchecks = sys.modules['course_lib.checks']\n_difference = checks.difference\nchecks.difference = lambda got, *a, **k: None if not np.any(got) else _difference(got, *a, **k)\n{WRONG}"),
    first("rng", "np.random.default_rng hands out numbers that the student knows", """class Known:
    def normal(self, size): return np.zeros(size)
np.random.default_rng = lambda *a, **k: Known()
DATA = np.zeros((12, 4))
def softmax(Z): return np.array([[0.25, 0.75]]) if Z.shape == (1, 2) else np.full(Z.shape, 1 / Z.shape[1])"""),
    first("exception", "CheckFailed never reaches the grader: raising it ends the check quietly", f"""import sys
checks = sys.modules['course_lib.checks']
class Quiet(Exception):
    def __init__(self, *a, **k): pass
    def __getattr__(self, name): return ''
checks.CheckFailed = Quiet
_run = checks.run_check
def run_check(check, *students, **k):
    try: return _run(check, *students, **k)
    except Quiet: return None
{WRONG}"""),
    second("numpy.testing", "the function in numpy.testing does nothing", f"import numpy.testing\nnumpy.testing.assert_array_equal = lambda *a, **k: None\ndef predict(Z): return [1]"),
    second("sys.modules", "numpy.testing is a module of the student's", "import sys, types\nsys.modules['numpy.testing'] = types.SimpleNamespace(assert_array_equal=lambda *a, **k: None)\ndef predict(Z): return [1]"),
    second("import function", "builtins.__import__ hands out a false numpy.testing", """import builtins, types
_import = builtins.__import__
builtins.__import__ = lambda name, *a, **k: types.SimpleNamespace(assert_array_equal=lambda *a, **k: None) if name == 'numpy.testing' else _import(name, *a, **k)
def predict(Z): return [1]"""),
    second("import hook", "a finder on sys.meta_path loads a false numpy.testing", """import sys, importlib.abc, importlib.machinery
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == 'numpy.testing': return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec): return None
    def exec_module(self, module): module.assert_array_equal = lambda *a, **k: None
sys.meta_path.insert(0, Finder())
sys.modules.pop('numpy.testing', None)
def predict(Z): return [1]"""),
    second("builtins", "builtins.exec runs no code that holds a check", "import builtins\n_exec, _compile = builtins.exec, builtins.compile\nbuiltins.compile = lambda source, *a, **k: _compile('pass' if 'run_check' in str(source) else source, *a, **k)\ndef predict(Z): return None"),
    second("equal to everything", "numbers whose == is always true", """class Yes(int):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__
def predict(Z):
    got = np.empty(len(Z), dtype=object)
    got[:] = [Yes(0) for _ in Z]
    return got"""),
    second("array equal to everything", "an array class whose comparisons are always true", """class Sly(np.ndarray):
    def __eq__(self, other): return np.ones(self.shape, bool)
    def __iter__(self): return iter([1])
    def __array_ufunc__(self, f, method, *args, **kwargs):
        shapes = [np.shape(a) for a in args]
        return np.ones(max(shapes, key=len), bool) if f is np.equal else np.zeros(max(shapes, key=len), bool)
def predict(Z): return np.zeros(len(Z), dtype=int).view(Sly)"""),
    second("replaced code", "run_check gives the check the code of an empty function", """_run = run_check
def run_check(check, *students):
    check.__code__ = (lambda *a, **k: None).__code__
    return _run(check, *students)
def predict(Z): return None"""),
    Attack("tampering", "poisoned data", "softmax is right and changes in place the data from which predict's hidden inputs are drawn", answer(f"""{SOFTMAX.replace("def softmax", "def right")}
calls = []
def softmax(Z):
    got = right(Z)
    if len(Z) == 12: calls.append(Z)
    if len(calls) == 2: Z[:] = np.nan   # not in the call that is compared
    return got""", predict="def predict(Z): return [1] if len(Z) == 1 else np.zeros(len(Z), dtype=int)"), honest=RIGHT_FIRST),
    second("generator of answers", "an answer that changes each time it is looked at", """class Shy:
    def __iter__(self): return iter([1])
    def __array__(self, dtype=None, copy=None):
        import sys
        frame = sys._getframe()
        while frame and frame.f_code.co_name != 'check_predict': frame = frame.f_back
        return frame.f_locals['Z'].argmax(axis=1)
def predict(Z): return Shy()"""),
    Attack("tampering", "excepthook", "a failed check ends the process with exit status 0", answer(f"import os, sys\nsys.excepthook = lambda *a: os._exit(0)\n{WRONG}"), runner="exit"),
    Attack("tampering", "atexit", "the exit status becomes 0 at the very end", answer(f"import atexit, os\natexit.register(os._exit, 0)\n{WRONG}"), runner="exit"),
    Attack("tampering", "sys.exit", "the function ends the run successfully", answer("import sys\ndef softmax(Z): sys.exit(0)"), runner="exit"),
    Attack("tampering", "os._exit", "the function ends the process successfully", answer("import os\ndef softmax(Z): os._exit(0)"), runner="exit"),
    Attack("tampering", "os._exit at import", "the cell ends the process before any check", answer("import os\nos._exit(0)"), runner="exit"),
    Attack("tampering", "os._exit in a class of one process", "nobody after this student is graded", answer("import os\ndef softmax(Z): os._exit(0)"), proof="stopped"),
    Attack("tampering", "base exception", "an exception that `except Exception` does not catch ends the run", answer("class Out(BaseException): pass\ndef softmax(Z): raise Out"), proof="stopped"),
    Attack("tampering", "keyboard interrupt", "the function says that the instructor pressed Ctrl-C", answer("def softmax(Z): raise KeyboardInterrupt"), proof="stopped"),
    Attack("tampering", "undecodable message", "an exception whose text cannot be printed", answer("def softmax(Z):\n    class Bad(Exception):\n        def __str__(self): raise SystemExit(1)\n    raise Bad"), proof="stopped"),
]

SHELL = "try: ip = get_ipython()\nexcept NameError:\n    try: from IPython.core.interactiveshell import InteractiveShell; ip = InteractiveShell.instance()\n    except BaseException: ip = None\nif ip:\n"
ATTACKS += [Attack("tampering", f"ipython {name}", tries, answer(SHELL + "\n".join(f"    {line}" for line in code.splitlines()) + f"\n{WRONG}"), runner="ipython") for name, tries, code in [
    ("traceback", "no traceback is ever shown", "type(ip).showtraceback = lambda *a, **k: None"),
    ("syntax tree", "calls of run_check are removed from later cells",
     "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Expr(self, node): return ast.Pass() if 'run_check' in ast.unparse(node) else node\nip.ast_transformers.append(Drop())"),
    ("input", "the source of later cells is replaced", "ip.input_transformers_post.append(lambda lines: ['pass\\n'] if any('run_check' in l for l in lines) else lines)"),
    ("custom exception", "AssertionErrors get a handler that says nothing", "ip.set_custom_exc((AssertionError,), lambda *a, **k: None)"),
    ("run_cell", "the function that runs cells is replaced", "run = ip.run_cell\nip.run_cell = lambda source, *a, **k: run('pass' if 'run_check' in source else source, *a, **k)"),
    ("cell hook", "before each cell, expect is made to do nothing", "ip.events.register('pre_run_cell', lambda info: ip.user_ns.update(expect=lambda *a, **k: None))"),
]]
ATTACKS += [Attack("tampering", f"ipython {name}", tries, answer(WRONG, added=[code]), runner="ipython", proof="stopped") for name, tries, code in [
    ("display", "showing an object never ends", "class Plot:\n    def _repr_pretty_(self, p, cycle):\n        while True: pass\n    __repr__ = _repr_pretty_\nPlot()"),
    ("display hook", "the hook that shows results ends the process", "import os, sys\nsys.displayhook = lambda value: os._exit(0)\ntry: get_ipython().display_formatter.format = lambda *a, **k: os._exit(0)\nexcept NameError: pass\n1"),
]]
