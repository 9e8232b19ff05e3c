"""Distributed training of chapter 13d: several processes against one, a worker that dies, and the arithmetic of shards and of the ring."""
import threading
import time

import numpy as np
import psutil
import pytest
from hypothesis import given, settings as examples, strategies as st

from course_lib.distributed import (accumulated_gradients, all_reduce_seconds, amdahl, distributed_gradients, flatten, gustafson, mean_of_shards,
                                    ring_all_reduce, run_jobs, shard, speed_up, traced, zero_bytes)
from course_lib.backprop import loss_and_grads
from course_lib.forward import init_params
from course_lib.optimisers import SGD
from course_lib.training import fit

ROWS, BATCH, EPOCHS = 44, 7, 3                     # 7 steps in an epoch; the last batch has 2 rows, fewer than workers


class Family(threading.Thread):
    """Notes all processes that this one starts while it runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before, self.seen, self.ended = set(psutil.Process().children()), set(), threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            for child in set(psutil.Process().children()) - self.before:
                try:
                    self.seen.update([child, *child.children(recursive=True)])
                except psutil.NoSuchProcess:
                    self.seen.add(child)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def alive(self):
        return [p for p in self.seen if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    return init_params((6, 5, 3), rng, np.float64), rng.normal(size=(ROWS, 6)), rng.integers(0, 3, ROWS)


def test_three_workers_one_of_which_dies_train_as_one_process(task):
    params, X, y = task
    alone, trace = {k: p.copy() for k, p in params.items()}, []
    fit(alone, SGD(0.1, 0.9), X, y, X[:1], y[:1], epochs=EPOCHS, batch_size=BATCH, rng=np.random.default_rng(0),
        gradients=traced(loss_and_grads, trace), progress=False)
    trace = np.array([*trace, flatten(alone)])
    setting = dict(batch_size=BATCH, epochs=EPOCHS, trace=True)
    jobs = {"ours": setting, "ddp": dict(setting, method="ddp", scale_loss=True), "dies": dict(setting, checkpoint=True, dies_at=11)}
    with Family() as family:
        results = run_jobs(params, X, y, jobs, workers=3, max_restarts=1)
    assert {name: (int(r["workers"]), int(r["attempt"]), len(r["trace"])) for name, r in results.items()} == {
        "ours": (3, 0, 22), "ddp": (3, 0, 22), "dies": (3, 1, 15)}          # the second attempt begins after the first epoch of 7 steps
    for name, r in results.items():
        assert np.abs(r["trace"] - trace[-len(r["trace"]):]).max() < 1e-12, name
        assert r["spread"] == 0
    assert len(family.seen) >= 7                   # torchrun, three workers, three more after the restart
    deadline = time.monotonic() + 5                # what has ended may take a moment to vanish
    while family.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not family.alive()


@given(st.integers(0, 200), st.integers(1, 12))
def test_shards_cover_each_row_once(n, workers):
    parts = [np.arange(n)[shard(n, workers, rank)] for rank in range(workers)]
    assert np.concatenate(parts).tolist() == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@examples(max_examples=60)
@given(st.integers(1, 6), st.integers(0, 20).map(lambda k: 2 * k + 1), st.integers(0, 999))
def test_the_ring_gives_each_worker_the_sum(workers, length, seed):
    vectors = np.random.default_rng(seed).normal(size=(workers, length))
    kept = vectors.copy()
    total, sent = ring_all_reduce(vectors)
    assert np.allclose(total, vectors.sum(axis=0), rtol=0, atol=1e-13) and (total == total[0]).all()
    assert np.array_equal(vectors, kept) and sent.sum() == 2 * (workers - 1) * length


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.int64])
def test_the_ring_adds_whole_numbers_without_overflow(dtype):
    vectors = np.full((6, 5), 100).astype(dtype)
    assert (ring_all_reduce(vectors)[0] == vectors.sum(axis=0)).all()


def test_the_order_of_the_gradients_does_not_matter(task, monkeypatch):
    """A group of one, without processes: the sum is what is there."""
    import torch.distributed as dist
    params, X, y = task
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(dist, "all_reduce", lambda message: None)
    loss, grads = loss_and_grads(params, X, y)
    shared = distributed_gradients(lambda *a: (loss, dict(reversed(grads.items()))))
    got_loss, got = shared(params, X, y)
    assert got_loss == loss and all(np.array_equal(got[k], grads[k]) for k in params)
    for empty in (shared, accumulated_gradients(4)):
        with pytest.raises(ValueError, match="empty batch"):
            empty(params, X[:0], y[:0])


@pytest.mark.parametrize("call", [
    lambda: shard(5, 0, 0), lambda: shard(5, 2, 2), lambda: shard(-1, 1, 0), lambda: mean_of_shards([], []), lambda: mean_of_shards([(1.0, {})], [0]),
    lambda: ring_all_reduce([1.0, 2.0]), lambda: ring_all_reduce(np.zeros((0, 3))), lambda: accumulated_gradients(0),
    lambda: amdahl(np.nan, 2), lambda: amdahl(0.1, 0), lambda: gustafson(0.1, np.nan), lambda: all_reduce_seconds(np.nan, 2, 0, 1),
    lambda: all_reduce_seconds(1, 2, 0, 0), lambda: speed_up(0, 1, 2, 0, 1), lambda: zero_bytes(1, 0, 1), lambda: zero_bytes(1, 1, 4)])
def test_numbers_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("jobs, kwargs, said", [
    ({}, {}, "0 jobs"), ({"a": {}}, dict(workers=0), "workers=0"), ({"a": {}}, dict(max_restarts=-1), "max_restarts=-1"),
    ({"a": dict(method="x")}, {}, "method 'x'"), ({"a": dict(rate=1)}, {}, "rate"), ({"a": dict(method="ddp", dies_at=3)}, {}, "dies_at"),
    ({"a": dict(scale_loss=True)}, {}, "scale_loss")])
def test_a_launch_that_cannot_be_meant_is_refused(task, jobs, kwargs, said):
    with pytest.raises(ValueError, match=said):
        run_jobs(*task, jobs, **kwargs)
