"""The student changes files outside the sandbox's private folder, or gets out of it through links and mounts."""
from .base import Attack, answer
from .exercise import WRONG


def write(name, tries, code, **more):
    """The attempt is made by an added cell, whose errors do not matter, and again when softmax is called."""
    tried = "\n".join(f"    {line}" for line in code.splitlines())
    return Attack("writing", name, tries, answer(f"import os, sys\ndef attempt():\n{tried}\ntry: attempt()\nexcept BaseException: pass\ndef softmax(Z):\n    try: attempt()\n    except BaseException: pass\n    return 0 * Z"),
                  proof=more.pop("proof", "written"), **more)


ATTACKS = [
    write("new file", "leaves a file in the course folder", "open('@COURSE@/@MARK@', 'w').write('here')"),
    write("overwrite", "overwrites the instructor's file", "open('@COURSE@/secret.txt', 'w').write('mine')"),
    write("gradebook", "gives itself points in the gradebook", "import sqlite3\ndb = sqlite3.connect('@COURSE@/gradebook.db')\ndb.execute('update grades set points = 6')\ndb.commit()"),
    write("neighbour", "empties another student's submission", "os.truncate('@COURSE@/submitted/neighbour/@CHAPTER@.ipynb', 0)"),
    write("solutions", "replaces the instructor's notebook", "os.replace('@COURSE@/submitted/neighbour/@CHAPTER@.ipynb', '@COURSE@/solutions/@CHAPTER@.ipynb')"),
    write("delete", "deletes the submissions", "import shutil\nshutil.rmtree('@COURSE@/submitted/neighbour')"),
    write("rights", "makes the gradebook unreadable", "os.chmod('@COURSE@/gradebook.db', 0)"),
    write("relative path", "climbs out of its folder", "open('../' * 30 + '@COURSE@/@MARK@', 'w').write('here')"),
    write("symbolic link", "makes a link in its own folder and writes through it",
          "import tempfile\nlink = tempfile.mktemp()\nos.symlink('@COURSE@/secret.txt', link)\nopen(link, 'w').write('mine')"),
    write("hard link", "makes a second name of the gradebook in its own folder and writes to that", "import tempfile\nlink = '@COURSE@/home/@MARK@'\nos.link('@COURSE@/gradebook.db', link)\nopen(link, 'wb').write(b'')"),
    write("root of a process", "writes through /proc/PID/root and /proc/PID/cwd",
          "import glob\nfor place in glob.glob('/proc/[0-9]*/root') + glob.glob('/proc/[0-9]*/cwd') + ['/proc/self/root']:\n    try: open(place + '@COURSE@/@MARK@', 'w').write('here')\n    except OSError: pass"),
    write("machine", "writes to the folders that every machine has, and to shared memory",
          "for place in '@PLACES@'.split():\n    try: open(place + '/@MARK@', 'w').write('here')\n    except OSError: pass"),
    write("interpreter", "leaves a file that the next Python run would load",
          "import glob\nfor place in glob.glob('@PREFIX@/lib/python*/site-packages') + sys.path:\n    if '@PREFIX@' in place or place.startswith('@COURSE@'):\n        try: open(place + '/@MARK@.pth', 'w').write('import this')\n        except OSError: pass"),
    write("start file", "leaves a start file in the instructor's home", "import site\nos.makedirs(site.getusersitepackages(), exist_ok=True)\nopen(site.getusersitepackages() + '/usercustomize.py', 'w').write('import this')"),
    write("mount", "mounts the disk's root or a device again, then writes", """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000 | 0x10000000) == 0:
    libc.mount(b'none', b'/', None, 1 << 14 | 1 << 18, None)
    libc.mount(b'@COURSE@', b'@COURSE@', None, 1 << 12, None)
    libc.mount(None, b'/', None, 1 << 5 | 1 << 12, None)
open('@COURSE@/@MARK@', 'w').write('here')"""),
    write("chroot", "leaves a root folder as root does", "d = os.open('/', os.O_RDONLY)\ntry: os.mkdir('inner'); os.chroot('inner')\nexcept OSError: pass\nos.fchdir(d)\nfor _ in range(20): os.chdir('..')\ntry: os.chroot('.')\nexcept OSError: pass\nopen('@COURSE@/@MARK@', 'w').write('here')"),
    write("special file", "makes a pipe in the course folder", "os.mkfifo('@COURSE@/@MARK@')"),
    write("through a child", "lets the shell write", "os.system('echo here > @COURSE@/@MARK@')"),
    write("in C", "writes with the C library and with a bare system call", "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.syscall(257, -100, b'@COURSE@/@MARK@', 65, 0o600)\nlibc.creat(b'@COURSE@/@MARK@2', 0o600)"),
    write("kill", "ends a process of somebody else", "os.kill(@PID@, 9)", proof="killed"),
    Attack("writing", "kill the grader", "ends the process that grades it", answer("import os\ndef softmax(Z): os.kill(os.getppid(), 9)"), runner="exit", proof="stopped"),
    write("stop the grader", "stops the process that grades it, as Ctrl-Z does", "if os.getppid() > 1: os.kill(os.getppid(), 19)", proof="stopped", runner="exit"),
]
