"""The wire format: everything it carries arrives, and nothing that a stranger sends does more than raise WireError."""
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings as examples, strategies as st
from hypothesis.extra import numpy as nps

from course_lib.grading.channel import Channel, WorkerLost
from course_lib.grading.judge import Reference, judge_submission
from course_lib.grading.outcome import STATUSES
from course_lib.grading.wire import WireError, decode, encode, pack, unpack

FEWER = dict(deadline=None, suppress_health_check=list(HealthCheck))
plain = st.none() | st.booleans() | st.integers(-2**60, 2**60) | st.floats(allow_nan=False) | st.text()
arrays = nps.arrays(st.sampled_from(["f8", "f4", "i8", "u1", "?", "c16"]), nps.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
keys = st.text() | st.integers(-1000, 1000) | st.tuples(st.integers(0, 9), st.text(max_size=3))
values = st.recursive(plain | arrays, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4), max_leaves=12)
junk = st.recursive(plain | st.floats(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.text(max_size=3) | st.sampled_from(["tuple", "set", "dict", "array", "rng", "iter", "ref", "name", "value", "error", "callback", "args", "kwargs", "missing", "kinds", "lines", "text"]), inner, max_size=4), max_leaves=15)


def same(a, b):
    if isinstance(a, np.ndarray): return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict): return type(b) is dict and a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, (list, tuple)): return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(values)
@examples(max_examples=300, **FEWER)
def test_values_arrive_as_they_were(value):
    try: frame = pack({"value": encode(value)})
    except UnicodeEncodeError: return
    assert same(decode(unpack(frame[4:])["value"]), value)


@given(st.binary(max_size=200))
@examples(max_examples=500, **FEWER)
def test_random_bytes_are_refused_by_name(body):
    try: assert isinstance(unpack(body), dict)
    except WireError: pass


@given(junk)
@examples(max_examples=1000, **FEWER)
def test_random_json_is_a_value_or_a_wire_error(data):
    for resolve in (None, lambda number, name: None):
        try: decode(data, resolve)
        except WireError: pass


@given(values, st.randoms(use_true_random=False))
@examples(max_examples=300, **FEWER)
def test_damaged_frames_are_a_value_or_a_wire_error(value, rng):
    """A real frame with some bytes changed, removed or doubled."""
    body = bytearray(pack({"value": encode(value)})[4:])
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(body))
        rng.choice([lambda: body.__setitem__(at, rng.randrange(256)), lambda: body.__delitem__(at), lambda: body.insert(at, body[at])])()
        if not body: return
    try: decode(unpack(bytes(body)).get("value"))
    except WireError: pass


@pytest.mark.parametrize("data", [{"array": ["<f8", [2**40], ""]}, {"array": ["|O", [1], "AAAA"]}, {"array": ["<f8", [-1], ""]}, {"array": ["<f8", [True], "AAAAAAAAAAA="]}, {"ref": True, "name": "x"},
                                  {"dict": [[[1], 2]]}, {"dict": [[{"dict": []}, 2]]}, {"set": [[]]}, {"rng": ["PCG64", {}]}, {"tuple": 5}, {}, {"iter": {}}])
def test_traps_are_refused(data):
    with pytest.raises(WireError): decode(data)


def test_nothing_is_ever_unpickled(tmp_path):
    import pickle
    class Trap:
        def __reduce__(self): return os.system, (f"touch {tmp_path / 'pwned'}",)
    with pytest.raises(WireError): unpack(pickle.dumps(Trap()))
    assert not (tmp_path / "pwned").exists()


CELLS = [("setup", "from course_lib.checks import expect, run_check", dict(locked=True)), ("double", "def double(x): return 2 * x", dict(solution=True)),
         ("check-double", "def check_double(double, rng):\n    x = rng.normal(size=3)\n    expect(double, (x,), 2 * x)\nrun_check(check_double, double)", dict(grade=True, points=3, locked=True))]
OURS = dict(cells=[dict(cell_type="code", source=text, metadata={"nbgrader": dict(schema_version=3, grade_id=name, task=False, grade=False, solution=False, locked=False) | meta}) for name, text, meta in CELLS])


class Liar:
    """A sandbox whose workers answer every request with what `reply` makes."""

    def __init__(self, limits, reply): self.limits, self.reply = limits, reply

    def worker(self):
        mine, theirs = socket.socketpair()
        threading.Thread(target=self._answer, args=(theirs,), daemon=True).start()
        return Channel(mine, self.limits.reply_mb)

    def _answer(self, link):
        with link, contextlib.suppress(OSError):
            while len(head := link.recv(4, socket.MSG_WAITALL)) == 4:
                link.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                link.sendall(self.reply())


def _replies(rng):
    """Frames that look like answers, and some that do not."""
    some = lambda: rng.choice([None, 3, -1, 2**70, 1e400, "x", [], {}, [[]], {"tuple": [1]}, {"array": ["<f8", [3], "AAAA"]}, {"ref": rng.randrange(-2, 3), "name": "double"}, {"dict": [[[], 1]]}, True])
    frames = [lambda: {"value": some()}, lambda: {"value": {"ref": 0, "name": "double"}, "args": some(), "kwargs": some()}, lambda: {"error": some(), "kinds": some(), "text": some(), "lines": some()},
              lambda: {"callback": some(), "args": some(), "kwargs": some()}, lambda: {"missing": some()}, lambda: {"error": "X", "kinds": ["SystemExit", "KeyboardInterrupt", "NotImplementedError"], "text": "", "lines": [[1]]}]
    raw = [lambda: os.urandom(rng.randrange(1, 40)), lambda: b"\xff\xff\xff\xff", lambda: b"\0\0\0\2[]", lambda: b"\0\0\0\x04null"]
    return lambda: rng.choice(raw)() if rng.random() < 0.1 else pack(rng.choice(frames)())


@pytest.mark.parametrize("seed", range(150))
def test_a_lying_worker_never_crashes_the_judge_and_gains_nothing(seed, settings, monkeypatch):
    monkeypatch.setattr(signal, "setitimer", lambda *a: None)       # the alarm would end this process
    limits = type(settings.grading)(**vars(settings.grading) | dict(seconds_per_cell=1, seconds_per_check=1))
    data, reference = json.dumps(OURS).encode(), Reference(OURS)
    outcomes = list(judge_submission(data, reference, Liar(limits, _replies(random.Random(seed))), seed, time.monotonic() + 3))
    assert [o.points for o in outcomes] == [0] and outcomes[0].status in STATUSES and outcomes[0].status != "passed"
