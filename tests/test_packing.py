"""Packed networks: round trips, hostile files, and the files of the course with their stored figures and bars."""
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from conftest import ROOT
from course_lib import packing
from course_lib.data import load_mnist
from course_lib.forward import init_params

TRIALS = {goal: json.loads((ROOT / "results" / f"packing_{goal.replace(' ', '_')}.json").read_text(encoding="utf8")) for goal in packing.GOALS}


def network(seed, sizes, levels, zeros):
    rng = np.random.default_rng(seed)
    params = init_params(sizes, rng)
    for k in params:
        if k[0] == "b":
            params[k] += rng.normal(0, 0.3, params[k].shape).astype(np.float32)
        else:
            params[k] *= rng.random(params[k].shape) >= zeros
    return packing.share_weights(params, levels)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=2, max_size=4), st.integers(1, 9), st.floats(0, 1))
def test_round_trip(seed, sizes, levels, zeros):
    params = network(seed, sizes, levels, zeros)
    again = packing.unpack(packing.pack(params))
    assert list(again) == list(params)
    assert all(np.array_equal(again[k], params[k]) and again[k].dtype == np.float32 for k in params)


SMALL = packing.pack(network(0, (6, 5, 3), 4, 0.5))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(SMALL)), st.booleans())
def test_hostile_bytes_are_refused_or_a_network(noise, at, checksum):
    """Random bytes in a file, with the checksum repaired or not: a network of finite arrays, or PackedError."""
    data = (SMALL[:at] + noise + SMALL[at + len(noise):])[:-4]
    data += zlib.crc32(data).to_bytes(4, "little") if checksum else b"four"
    try:
        params = packing.unpack(data)
    except packing.PackedError:
        return
    assert all(np.isfinite(a).all() for a in params.values())


@pytest.mark.parametrize("goal", packing.GOALS)
def test_the_files_of_the_course_give_the_stored_figures(goal):
    data = load_mnist()
    for run in TRIALS[goal]["runs"]:
        found = packing.judge_packed(packing.packed_path(goal, run["seed"]), run["seed"], data)
        assert found == {k: run[k] for k in found}
    assert np.isclose(TRIALS[goal]["mean_ratio"], np.mean([r["ratio"] for r in TRIALS[goal]["runs"]]))


def test_the_bars():
    for points, ratio in ((0.10, 60), (0.40, 100)):
        assert any(t["mean_points_lost"] <= points and t["mean_ratio"] >= ratio and len(t["runs"]) >= 3 for t in TRIALS.values())
