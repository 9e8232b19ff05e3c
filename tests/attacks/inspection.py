"""The student looks into other processes and asks the kernel for what only the grader may have."""
from .base import Attack, answer, detector


def look(name, tries, body, **more):
    return Attack("inspection", name, tries, answer(detector(body)), **more)


LIBC = "import ctypes, struct\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\ndef call(*a): return libc.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in a])\n"
ATTACKS = [
    look("memory", "reads another process' memory through /proc", "with open('/proc/@PID@/mem', 'rb', 0) as f:\n    f.seek(@ADDRESS@)\n    return has_secret(f.read(23))"),
    look("memory of the grader", "searches the memory of the processes above it for the instructor's password", """pid = os.getpid()
for _ in range(2):
    pid = int(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[1]) or 1
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            low, high = (int(x, 16) for x in span.split('-'))
            if 'rw' not in rights or high - low > 1 << 28: continue
            try: memory.seek(low); data = memory.read(high - low)
            except (OSError, ValueError, OverflowError): continue
            if has_secret(data): return True
return False"""),
    look("process_vm_readv", "reads another process' memory with one system call", LIBC + """data = ctypes.create_string_buffer(23)
local = (ctypes.c_uint64 * 2)(ctypes.addressof(data), 23)
for pid in [@PID@, os.getppid(), 1, 2, 3]:
    remote = (ctypes.c_uint64 * 2)(@ADDRESS@, 23)
    if call(310, pid, local, 1, remote, 1, 0) == 23 and has_secret(data.raw): return True"""),
    look("process_vm_writev", "writes into another process' memory", LIBC + """data = ctypes.create_string_buffer(b'x' * 23)
local, remote = (ctypes.c_uint64 * 2)(ctypes.addressof(data), 23), (ctypes.c_uint64 * 2)(@ADDRESS@, 23)
return call(311, @PID@, local, 1, remote, 1, 0) == 23"""),
    look("ptrace", "attaches to another process as a debugger", LIBC + "import time\nfor pid in (@PID@,):\n    if call(101, 16, pid, 0, 0) == 0:\n        os.waitpid(pid, 0x40000000); call(101, 17, pid, 0, 0)\n        return True"),
    look("pidfd", "opens a process and takes one of its files", LIBC + "for pid in (@PID@, os.getppid()):\n    fd = call(434, pid, 0)\n    if fd >= 0 and call(438, fd, 1, 0) >= 0: return True"),
    look("list of processes", "sees that other processes exist", "os.kill(@PID@, 0)\nreturn os.path.exists('/proc/@PID@/status')"),
    look("command lines", "reads what other processes were started with", "return any(b'@SIGN@' in open(f'/proc/{p}/cmdline', 'rb').read() for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid())"),
    look("keyring", "reads a password from the kernel's keyring", LIBC + """data = ctypes.create_string_buffer(100)
key = call(249, b'user', b'@KEYRING@', None, 0)
for ring in (-1, -2, -3, -4, -5):
    if key < 0: key = call(250, 10, ring, b'user', b'@KEYRING@', 0)
n = call(250, 11, key, data, 100)
return n > 0 and has_secret(data.raw[:n])""", ),
    look("kernel log", "reads the kernel's log", LIBC + "return libc.klogctl(3, ctypes.create_string_buffer(1000), 1000) > 0", ),
    look("bpf", "loads a program into the kernel", LIBC + "attr = ctypes.create_string_buffer(struct.pack('<IIII', 2, 4, 8, 1), 120)\nreturn call(321, 0, attr, 72) >= 0"),
    look("perf", "measures what other processes do", LIBC + "attr = ctypes.create_string_buffer(struct.pack('<IIQ', 1, 128, 0), 128)\nreturn call(298, attr, -1, 0, -1, 0) >= 0"),
    look("priority", "puts itself before everybody else", "os.nice(-5)\nreturn os.nice(0) < 0"),
    look("victim of the kernel", "sees to it that others end first when memory runs out", "for score in range(-1000, 500, 100):\n    try:\n        with open('/proc/self/oom_score_adj', 'w') as f: f.write(str(score))\n        break\n    except OSError: pass\nreturn int(open('/proc/self/oom_score_adj').read()) < 500"),
    look("limits", "raises its own limits", "import resource as r\nbefore = r.getrlimit(r.RLIMIT_AS)\nfor hard in (r.RLIM_INFINITY, before[1]):\n    try: r.setrlimit(r.RLIMIT_AS, (hard, hard)); break\n    except (ValueError, OSError): pass\nafter = r.getrlimit(r.RLIMIT_AS)[0]\nreturn after != before[0] and (after > before[0] or after == r.RLIM_INFINITY)"),
    look("limits of others", "lowers the limits of another process", "import resource\nresource.prlimit(@PID@, resource.RLIMIT_NOFILE, (3, 3))\nreturn True"),
    look("user", "becomes another user", "before = os.getuid()\nreturn before == 0 and os.access('/etc/shadow', os.R_OK)"),
    look("new namespaces", "makes itself root in namespaces of its own", LIBC + "def inner():\n    return libc.unshare(0x10000000 | 0x00020000) == 0\nreturn inner() and libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0"),
    look("devices", "opens the disk or the kernel's memory", "return any(os.path.exists(p) and os.open(p, os.O_RDONLY) for p in ('/dev/kmsg', '/dev/mem', '/dev/vda', '/dev/sda', '/dev/nvme0n1'))"),
    look("settings of the kernel", "reads what the machine is set up with", "return bool(open('/proc/kallsyms').read(100).strip('0 ')) and not open('/proc/kallsyms').read(16).startswith('0000000000000000')"),
]
