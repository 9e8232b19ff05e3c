"""The student says too much."""
from .base import Attack, answer
from .exercise import WRONG


def flood(name, tries, code, **more):
    body = "\n".join(f"    {line}" for line in code.splitlines())
    return Attack("output", name, tries, answer(f"import os, sys, logging, warnings\ndef softmax(Z):\n{body}\n    return 0 * Z"), proof="flooded", **more)


ATTACKS = [
    flood("stdout", "prints 200 MB", "for _ in range(200): print('x' * (1 << 20))"),
    flood("stderr", "writes 200 MB to standard error", "for _ in range(200): sys.stderr.write('x' * (1 << 20))"),
    flood("descriptor", "writes 200 MB to descriptor 1", "for _ in range(200): os.write(1, b'x' * (1 << 20))"),
    flood("descriptor 2", "writes 200 MB to descriptor 2", "for _ in range(200): os.write(2, b'x' * (1 << 20))"),
    flood("every descriptor", "writes 200 MB to whatever is open", "for fd in range(256):\n    try:\n        for _ in range(200): os.write(fd, b'x' * (1 << 20))\n    except OSError: pass"),
    flood("terminal", "writes to the terminal or the original streams", "for stream in (sys.__stdout__, sys.__stderr__):\n    for _ in range(110): stream.write('x' * (1 << 20))"),
    flood("log", "logs 200 MB", "logging.basicConfig(stream=sys.stderr)\nfor _ in range(200): logging.error('x' * (1 << 20))"),
    flood("short lines", "prints very many lines", "for _ in range(500): print('x\\n' * 150_000)"),
    flood("through a child", "lets a child print", "import subprocess\nsubprocess.run('yes | head -c 200000000', shell=True)"),
    Attack("output", "error", "an exception with 40 MB of text", answer("def softmax(Z): raise ValueError('x' * (40 << 20))"), proof="flooded"),
    Attack("output", "error at import", "a cell that raises 40 MB of text", answer("raise ValueError('x' * (40 << 20))"), proof="flooded"),
]
