"""The student talks to the outside: this machine's listeners stand for what a network offers."""
from .base import Attack, answer, detector


def call(name, tries, code, **more):
    tried = "\n".join(f"    {line}" for line in code.splitlines())
    return Attack("network", name, tries, answer(f"import os, socket\ndef attempt():\n{tried}\ndef softmax(Z):\n    try: attempt()\n    except BaseException: pass\n    return 0 * Z"),
                  proof=more.pop("proof", "connected"), **more)


KINDS = """import socket
for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 1), (socket.AF_INET, 2), (socket.AF_VSOCK, 1), (socket.AF_PACKET, 3), (socket.AF_NETLINK, 3), (38, 5)):
    try: s = socket.socket(family, kind)
    except OSError: continue
    if family in (socket.AF_VSOCK, socket.AF_PACKET, 38): return True
    if family in (socket.AF_INET, socket.AF_INET6):
        s.settimeout(1)
        try: s.connect(('127.0.0.1' if family == socket.AF_INET else '::1', @PORT@))
        except OSError: continue
        return True"""

ATTACKS = [
    Attack("network", "sockets", "makes sockets of every kind and is right if one of them reaches anything", answer(detector(KINDS))),
    call("tcp loopback", "connects to a service on this machine", "socket.create_connection(('127.0.0.1', @PORT@), 1)"),
    call("tcp loopback 6", "connects over IPv6", "socket.create_connection(('::1', @PORT6@), 1)"),
    call("udp loopback", "sends a datagram", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'@MARK@', ('127.0.0.1', @UDP@))"),
    call("outside", "connects to this machine's address on the network", "socket.create_connection(('@HOST@', @PORT@), 1)"),
    call("abstract socket", "connects to a Unix socket without a path", "s = socket.socket(socket.AF_UNIX)\ns.connect('\\0@ABSTRACT@')"),
    call("unix socket", "connects to a Unix socket by its path", "s = socket.socket(socket.AF_UNIX)\ns.connect('@SOCKET@')"),
    call("web", "fetches a page", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:@PORT@/', timeout=1)"),
    call("in C", "makes the socket with bare system calls", """import ctypes, struct
libc = ctypes.CDLL(None)
fd = libc.syscall(41, 2, 1, 0)
libc.syscall(42, fd, struct.pack('<H', 2) + struct.pack('>H', @PORT@) + bytes([127, 0, 0, 1]) + bytes(8), 16)"""),
    call("through a child", "lets another program connect", "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import socket; socket.create_connection((\"127.0.0.1\", @PORT@), 1)'])"),
    call("namespace of a process", "enters the network namespace of another process", "import ctypes\nlibc = ctypes.CDLL(None)\nfor pid in [p for p in os.listdir('/proc') if p.isdigit()]:\n    try: libc.setns(os.open(f'/proc/{pid}/ns/net', os.O_RDONLY), 0)\n    except OSError: pass\nsocket.create_connection(('127.0.0.1', @PORT@), 1)"),
    call("io_uring", "asks for a ring that makes system calls on its behalf, then connects",
         "import ctypes\nif ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) < 0 and os.path.exists('/w'): return\nsocket.create_connection(('127.0.0.1', @PORT@), 1)"),
    call("virtual machine socket", "talks to the host of this virtual machine", "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\ns.settimeout(1)\ns.connect((2, 1024))",
         proof="", unproven="no listener can be had behind a vsock here; whether the socket can be made is tested by `sockets`"),
]
