"""A random number belongs to a request, whoever asks and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.random_streams import uniform, uniforms

seeds = st.integers(-(2**63), 2**64)
streams = st.text(max_size=10)
indices = st.integers(0, 10**6)

GOLDEN = [0.136094922969, 0.375510793678, 0.451922165385, 0.40942195342, 0.487095624057]


@given(seeds, streams, indices, st.integers(0, 70))
def test_the_number_of_one_request_is_its_entry_in_the_stream(seed, stream, index, request_id):
    assert uniform(seed, stream, request_id, index) == uniforms(seed, stream, request_id + 1, index)[-1]


@given(seeds, streams, st.integers(0, 50), st.integers(0, 50))
def test_a_stream_starts_with_every_shorter_one(seed, stream, a, b):
    short, long = sorted((a, b))
    assert np.array_equal(uniforms(seed, stream, long)[:short], uniforms(seed, stream, short))


def test_numbers_lie_strictly_between_0_and_1_and_are_uniform():
    u = uniforms(0, "test", 100_000)
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 0.001


@pytest.mark.parametrize("other", [(1, "a", 0), (0, "b", 0), (0, "a", 1)], ids=["seed", "stream", "index"])
def test_streams_of_another_seed_name_or_index_are_independent(other):
    seed, stream, index = other
    u, v = uniforms(0, "a", 10_000), uniforms(seed, stream, 10_000, index)
    assert not np.intersect1d(u, v).size
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.04


def test_far_requests_cost_no_more_and_never_change():
    assert uniform(7, "patience", 10**18) == uniform(7, "patience", 10**18)
    assert uniforms(7, "patience", 3).tolist() == [
        uniform(7, "patience", 0),
        uniform(7, "patience", 1),
        uniform(7, "patience", 2),
    ]


def test_numbers_are_the_same_on_every_machine_and_in_every_version():
    """A changed stream silently changes every result that was ever stored."""
    assert [round(u, 12) for u in uniforms(42, "arrival gap", 5)] == GOLDEN


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniforms(0, "a", -1), "num_requests must be ≥ 0, not -1"),
        (lambda: uniform(0, "a", -2), "request_id must be ≥ 0, not -2"),
        (lambda: uniform(0, "a", 2, -3), "index must be ≥ 0, not -3"),
    ],
)
def test_negative_positions_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
