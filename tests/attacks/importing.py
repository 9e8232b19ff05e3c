"""The student takes the answer from the course's own library, by any route."""
from .base import Attack, answer

USE = "\nsoftmax = module.softmax if hasattr(module, 'softmax') else module['softmax']"


def route(name, tries, code, **more):
    return Attack("importing", name, tries, answer(code), **more)


RUN_EXPORTS = """import json
def run_exports(path, names):
    "Run all exported cells of a chapter in order, for a definition may need helpers; cells that fail are left out."
    for c in json.load(open(path))['cells']:
        text = ''.join(c['source'])
        if c['cell_type'] == 'code' and '#| export: true' in text:
            try: exec(text, names)
            except Exception: pass
"""
PURGE = """import sys
for name in [n for n in sys.modules if n.split('.')[0] == 'course_lib']: del sys.modules[name]
"""
ATTACKS = [
    route("import", "imports the answer", "from course_lib.forward import softmax"),
    route("import in the function", "imports the answer when it is called", "def softmax(Z):\n    from course_lib import forward\n    return forward.softmax(Z)"),
    route("importlib", "imports the answer with importlib", "import importlib\nmodule = importlib.import_module('course_lib.forward')" + USE),
    route("__import__", "imports the answer with __import__", "module = __import__('course_lib.forward', fromlist=['softmax'])" + USE),
    route("another name", "takes log_softmax and turns it into the answer", "from course_lib.forward import log_softmax\ndef softmax(Z): return np.exp(log_softmax(Z))"),
    route("file", "runs the library's source", "module = {}\nexec(compile(open('@ROOT@/course_lib/forward.py').read(), 'f', 'exec'), module)" + USE),
    route("chapter notebook", "runs the definitions from the chapter's notebook", RUN_EXPORTS + "module = {'np': np}\nrun_exports('@ROOT@/nbs/@CHAPTER@.ipynb', module)" + USE),
    route("spec from file", "loads the module from its file", "import importlib.util as u\nspec = u.spec_from_file_location('f', '@ROOT@/course_lib/forward.py')\nmodule = u.module_from_spec(spec)\nspec.loader.exec_module(module)" + USE),
    route("sys.path", "removes import hooks, puts the course first on sys.path, imports", PURGE + "sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)]\nsys.path.insert(0, '@ROOT@')\nimport course_lib.forward as module" + USE),
    route("finders", "asks each finder for the module", PURGE + """import importlib.util
for finder in list(sys.meta_path):
    try: spec = finder.find_spec('course_lib', None) ; spec = __import__('importlib.machinery').machinery.PathFinder.find_spec('forward', list(spec.submodule_search_locations))
    except Exception: continue
    if spec: module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)""" + USE),
    route("pip metadata", "asks the installed distribution where its files are", """import importlib.metadata as m, json, os, re, runpy, urllib.parse
d = m.distribution('course_lib')
places = [os.path.dirname(str(d.locate_file('')))] + [urllib.parse.urlparse(json.loads(d.read_text('direct_url.json') or '{}').get('url', '')).path]
places += [re.sub(r'/course_lib$', '', p) for f in d.files or [] if str(f).endswith('.py') for p in re.findall(r"'(/[^']*)'", f.read_text())] + [str(d.locate_file(''))]
module = next(runpy.run_path(p + '/course_lib/forward.py') for p in places if os.path.exists(p + '/course_lib/forward.py'))""" + USE),
    route("editable install", "reads the map of the editable install", """import glob, os, re, runpy, sysconfig
texts = [open(f).read() for f in glob.glob(sysconfig.get_path('purelib') + '/__editable__*')]
places = [p for t in texts for p in re.findall(r"(/[\\w./-]*course_lib)", t)] + [sysconfig.get_path('purelib') + '/course_lib', '@ROOT@/course_lib']
module = next(runpy.run_path(p + '/forward.py') for p in places if os.path.exists(p + '/forward.py'))""" + USE),
    route("importlib.resources", "reads the source as a resource of the package", "import importlib.resources as r\nmodule = {}\nexec((r.files('course_lib') / 'forward.py').read_text(), module)" + USE),
    route("runpy", "runs the module", "import runpy\nmodule = runpy.run_module('course_lib.forward')" + USE),
    route("pkgutil", "reads the source with pkgutil", "import pkgutil\nmodule = {}\nexec(pkgutil.get_data('course_lib', 'forward.py'), module)" + USE),
    route("inspect", "asks inspect for the source", "import inspect, course_lib.forward as m\nmodule = {}\nexec(inspect.getsource(m), module)" + USE),
    route("linecache", "asks linecache for the source", "import linecache, course_lib\nmodule = {}\nexec(''.join(linecache.getlines('@ROOT@/course_lib/forward.py') or linecache.getlines(course_lib.__path__[0] + '/forward.py')), module)" + USE),
    route("byte code", "runs the compiled file in __pycache__", """import glob, marshal, os, py_compile, tempfile
files = glob.glob('@ROOT@/course_lib/__pycache__/forward.*.pyc')
if not files: files = [py_compile.compile('@ROOT@/course_lib/forward.py', tempfile.mktemp())]
module = {}
exec(marshal.loads(open(files[0], 'rb').read()[16:]), module)""" + USE),
    route("zipimport", "packs the library into a zip file and imports from that", PURGE + """import os, tempfile, zipfile, zipimport
path = tempfile.mktemp('.zip')
with zipfile.ZipFile(path, 'w') as z: z.write('@ROOT@/course_lib/forward.py', 'forward.py')
module = zipimport.zipimporter(path).load_module('forward')
os.unlink(path)""" + USE),
    route("another interpreter", "lets a child process import it", """import subprocess, sys, json
def softmax(Z):
    code = 'import json, numpy as np\\nfrom course_lib.forward import softmax\\nprint(json.dumps(softmax(np.array(%r)).tolist()))' % Z.tolist()
    return np.array(json.loads(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout))"""),
    route("loaded modules", "looks for the function among all modules and objects already in memory", """import course_lib.checks, gc, sys
try: import course_lib.forward
except Exception: pass
module = {}
for o in [f for m in list(sys.modules.values()) for f in list(getattr(m, '__dict__', {}).values())] + gc.get_objects():
    if type(o).__name__ == 'function' and o.__name__ == 'softmax' and o.__module__ == 'course_lib.forward': module['softmax'] = o""" + USE),
    route("stand-in", "imports course_lib without the hook that stands in for it", """import importlib.machinery, sys
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != '_StandIn']
for name in [n for n in sys.modules if n.split('.')[0] == 'course_lib' and 'grading' not in n]: del sys.modules[name]
from course_lib.forward import softmax"""),
]
