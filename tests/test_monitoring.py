"""Monitoring of chapter 13c: the two distances, the promise of a threshold, and a store of models whose processes are killed."""
import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings as examples, strategies as st
from scipy import stats

from course_lib.monitoring import (DriftMonitor, ModelStore, StoreError, alarm_threshold, bin_counts, cusum, dashboard, feedback_loop, ks_pvalue, ks_statistic,
                                   mean_distance, psi, psi_bins, psi_from_counts, rate_interval, rotate, weights_hash)

TIED = st.lists(st.integers(-9, 9).map(lambda k: k / 7), min_size=1, max_size=60)
PLAIN = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=12)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")       # of the p-value in scipy
@examples(max_examples=300, deadline=None)
@given(st.one_of(TIED, PLAIN), st.one_of(TIED, PLAIN))
def test_the_largest_distance_is_that_of_scipy(a, b):
    assert ks_statistic(a, b) == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-14)
    assert ks_statistic(a, b) == ks_statistic(b, a[::-1]) and ks_statistic(a, a) == 0


@examples(deadline=None)
@given(COUNTS, st.floats(0.01, 10))
def test_the_index_is_never_negative_and_0_for_equal_counts(pairs, smoothing):
    a, b = np.array(pairs).T
    assert psi_from_counts(a, b, smoothing) >= 0 == psi_from_counts(a, a, smoothing)
    assert psi_from_counts(a, b, smoothing) == pytest.approx(psi_from_counts(b, a, smoothing), rel=1e-9, abs=1e-12)
    p, q = a + smoothing, b + smoothing
    assert psi_from_counts(a, b, smoothing) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-6, abs=1e-9)


@examples(deadline=None)
@given(st.one_of(TIED, PLAIN), st.one_of(TIED, PLAIN), st.integers(2, 20))
def test_each_value_lies_in_one_bin(reference, live, bins):
    edges = psi_bins(reference, bins)
    assert 1 <= len(edges) < bins and bin_counts(live, edges).sum() == len(live)
    assert psi(reference, live, edges) >= 0 == psi(reference, reference[::-1], edges)


@examples(max_examples=300, deadline=None)
@given(st.integers(2, 300), st.integers(0, 299), st.integers(0, 3), st.integers(1, 30))
def test_the_threshold_keeps_its_promise(parts, taken, rounds, more):
    """The rank is the smallest one whose chance of an alarm is at most the rate: fractions are the judge, and a rank that is a whole number comes often."""
    rate, R = Fraction(taken % (parts - 1) + 1, parts), max(1, parts * rounds - 1) if more % 2 else parts * rounds + more
    scores, fits = np.arange(R)[::-1] * 0.5, [k for k in range(1, R + 1) if Fraction(R + 1 - k, R + 1) <= rate]
    if fits:
        assert alarm_threshold(scores, float(rate)) == np.sort(scores)[fits[0] - 1]
    else:
        with pytest.raises(ValueError, match="are needed"):
            alarm_threshold(scores, float(rate))


def test_a_distance_that_is_no_number_rings():
    monitor = DriftMonitor({"x": [1, 2, 3, 4]}, {"odd": ("x", lambda a, b: 0.0 if len(a) < 4 else np.nan)}, 0.5, 2, np.random.default_rng(0), 9)
    assert monitor.check({"x": [1, 2]})["odd"]["alarm"]


def day(**more):
    return dict(day=1, psi=0.1, threshold=0.2, alarm=False, confidence=0.9, shares=np.full(10, 0.1)) | more


def test_a_month_without_labels_has_a_dashboard():
    assert len(dashboard([day(), day(day=2, alarm=True, mark="refused")]).axes) == 4


X, y = np.zeros((4, 784), np.float32), np.zeros(4, int)


@pytest.mark.parametrize("call", [
    lambda: psi_bins([1, 2], 2.5), lambda: psi_from_counts([1, -1], [1, 1]), lambda: psi_from_counts([1, np.nan], [1, 1]), lambda: psi_from_counts(3, 4),
    lambda: bin_counts([1], [2, 1]), lambda: ks_pvalue(np.nan, 3, 3), lambda: rate_interval(99, 0), lambda: rate_interval(99, 0.1, 2), lambda: alarm_threshold([1, 2], 0),
    lambda: mean_distance([], [1]), lambda: rotate(X, np.nan), lambda: cusum([True], 0.9, np.nan), lambda: dashboard([day(mark="sold")]), lambda: dashboard([{"day": 1}]),
    lambda: DriftMonitor({"x": np.arange(9.0)}, {"m": ("x", mean_distance)}, 0.5, 2.5, np.random.default_rng(0), 9),
    lambda: feedback_loop({}, (X, y), (X, y), (X, y), (X, y), None, rounds=1, labels=2, compare="yesterday"),
    lambda: feedback_loop({}, (X, y), (X, y), (X, y), (X, y), None, rounds=1, labels=5)])
def test_what_cannot_be_meant_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


# One program imports the library once and forks a process for each thing that shall happen.
HEAD = """
import json, os, signal, sys, time, numpy as np
from course_lib.monitoring import ModelStore, StoreError
folder = sys.argv[1]
def process(work):
    pid = os.fork()
    if pid: return pid
    try: work()
    finally: os._exit(0)
def model(n): return {"W1": np.full((300, 100), n, np.float32)}
"""
AT_EACH_CALL = HEAD + """
def dying(at, done):
    seen = []
    def wrap(real):
        def call(*args):
            seen.append(real)
            if len(seen) == at and not done: os.kill(os.getpid(), signal.SIGKILL)
            real(*args)
            if len(seen) == at and done: os.kill(os.getpid(), signal.SIGKILL)
        return call
    store = ModelStore(f"{folder}/{at}{done}")
    store.deploy(model(1), "operator", "first")
    for name in ("fsync", "replace", "link", "unlink"): setattr(os, name, wrap(getattr(os, name)))
    store.deploy(model(2), "operator", "second")
for done in (0, 1):
    for at in range(1, 20):
        if os.waitpid(process(lambda: dying(at, done)), 0)[1] != signal.SIGKILL: break
        print(json.dumps([at, done]))
"""
AT_ANY_TIME = HEAD + """
def deploying(pipe):
    store = ModelStore(folder)
    while True: os.write(pipe, b"%d " % store.deploy(model(len(store.history()) + 1), "operator", "again")["version"])
for pause in np.random.default_rng(0).uniform(0.002, 0.06, 15):
    read, write = os.pipe()
    pid = process(lambda: deploying(write))
    os.close(write)
    time.sleep(pause)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(read) as f: said = f.read().split()
    print(json.dumps([int(said[-1]) if said else 0, len(ModelStore(folder).history())]))
"""
AT_ONCE = HEAD + """
def deploying():
    store, left = ModelStore(folder), 8
    while left:
        try: store.deploy(model(left), "operator", "at once"); left -= 1
        except StoreError as e: assert "is taken" in str(e)
for pid in [process(deploying) for _ in range(3)]: print(json.dumps(os.waitpid(pid, 0)[1]))
"""


def run(program, folder):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program, str(folder)], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def versions(folder):
    """The number that each version's weights hold; that the store loads them says that they are whole."""
    store = ModelStore(folder)
    loaded = [store.load(e["version"])["W1"] for e in store.history()]
    assert all((W == W[0, 0]).all() for W in loaded)
    return [int(W[0, 0]) for W in loaded]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@needs_fork
def test_killed_at_each_call_the_old_or_the_new_version_serves(tmp_path):
    killed = run(AT_EACH_CALL, tmp_path)
    assert len(killed) >= 12 and {done for _, done in killed} == {0, 1}
    for done in (0, 1):
        served = [versions(tmp_path / f"{at}{d}") for at, d in killed if d == done]
        assert served[0] == [1] and served[-1] == [1, 2] and sorted(served, key=len) == served
    for at, done in killed:
        store = ModelStore(tmp_path / f"{at}{done}")
        assert store.deploy({"W1": np.full((3, 3), 3)}, "operator", "third")["version"] == len(store.history()) == len(versions(store.folder))


@needs_fork
def test_killed_at_any_time_nothing_is_lost(tmp_path):
    known = 0
    for said, there in run(AT_ANY_TIME, tmp_path):
        assert max(known, said) <= there               # what was said to be deployed, and what was there before
        known = there
    assert known > 15 and versions(tmp_path) == list(range(1, known + 1))


@needs_fork
def test_processes_that_deploy_at_once_do_not_overwrite_each_other(tmp_path):
    assert run(AT_ONCE, tmp_path) == [0, 0, 0]
    assert sorted(versions(tmp_path)) == sorted(3 * [*range(1, 9)]) and not list(tmp_path.rglob("*.part"))


def test_entries_can_be_read_by_whoever_may_read_the_folder(tmp_path):
    old = os.umask(0o022)
    try:
        ModelStore(tmp_path).deploy({"W1": np.ones(3)}, "operator", "first")
    finally:
        os.umask(old)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 2 and all(p.stat().st_mode & 0o777 == 0o644 for p in files)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{}", '{"version": 1, "previous": ""}', '{"version": 1, "previous": "", "weights": 5}', '{"version": 1, "previous": "", "weights": "../x"}'])
def test_an_entry_that_is_none_is_refused(tmp_path, text):
    store = ModelStore(tmp_path)
    (tmp_path / "log" / "000001.json").write_text(text)
    with pytest.raises(StoreError, match="000001.json"):
        store.load()


@pytest.mark.parametrize("params", [None, [], {}, {"W1": "text"}, {"W1": np.array([None])}, {"file": np.ones(2)}, {"allow_pickle": np.ones(2)}, {1: np.ones(2)}])
def test_what_is_no_network_gets_no_hash(params):
    with pytest.raises(StoreError, match="expected a dict"):
        weights_hash(params)
