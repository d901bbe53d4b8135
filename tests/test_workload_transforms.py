"""Workloads made of others, and the round trip through Mooncake's format."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.workload import Workload, limit, read_trace, rescale_rate, write_mooncake


@st.composite
def workloads(draw):
    rows = draw(
        st.lists(st.tuples(st.floats(0, 1e5), st.integers(1, 200_000), st.integers(1, 5_000)), min_size=1, max_size=20)
    )
    arrival, prompt, output = zip(*sorted(rows), strict=True)
    return Workload("drawn", np.array(arrival), np.array(prompt), np.array(output))


@given(workloads())
def test_a_workload_written_as_mooncake_reads_back(tmp_path_factory, workload):
    path = tmp_path_factory.mktemp("mooncake") / "drawn.jsonl"
    write_mooncake(workload, path)
    back = read_trace(path)
    assert back.origin["format"] == "mooncake"
    assert back.name == "drawn"
    assert back.arrival + back.origin["first_timestamp"] == pytest.approx(workload.arrival, abs=0.0005 + 1e-9)
    assert np.array_equal(back.prompt_length, workload.prompt_length)
    assert np.array_equal(back.output_length, workload.output_length)
    write_mooncake(back, path)
    assert np.array_equal(read_trace(path).arrival, back.arrival)


def test_mooncake_prompts_are_blocks_of_512_tokens_that_nobody_shares(tmp_path):
    lengths = np.array([512, 513, 1])
    write_mooncake(Workload("w", np.array([0, 0.0004, 1.0006]), lengths, lengths), tmp_path / "w.jsonl")
    records = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert [record["timestamp"] for record in records] == [0, 0, 1001]
    assert [record["hash_ids"] for record in records] == [[0], [1, 2], [3]]


@given(workloads(), st.floats(1e-3, 1e4))
def test_a_rescaled_workload_has_the_rate_and_the_pattern(workload, rate):
    if not workload.rate > 0:
        with pytest.raises(ValueError, match="no two different arrival times"):
            rescale_rate(workload, rate)
        return
    rescaled = rescale_rate(workload, rate)
    assert rescaled.rate == pytest.approx(rate, rel=1e-6)
    assert rescaled.arrival * rate == pytest.approx(workload.arrival * workload.rate, rel=1e-6)
    assert np.array_equal(rescaled.output_length, workload.output_length)
    assert rescaled.origin["rescaled_from_rate"] == workload.rate


@pytest.mark.parametrize("rate", [0.0, -2.0, math.nan])
def test_a_rate_that_is_not_positive_is_refused(rate):
    ones = np.ones(2, dtype=np.int64)
    with pytest.raises(ValueError, match=f"must be positive, not {rate} requests/s"):
        rescale_rate(Workload("w", np.array([0.0, 1.0]), ones, ones), rate)


def test_rescaling_to_an_infinite_rate_puts_all_arrivals_at_0():
    ones = np.ones(2, dtype=np.int64)
    rescaled = rescale_rate(Workload("w", np.array([0.0, 1.0]), ones, ones), math.inf)
    assert rescaled.arrival.tolist() == [0.0, 0.0]


@given(workloads(), st.integers(1, 30))
def test_limit_keeps_the_first(workload, n):
    kept = limit(workload, n)
    assert len(kept) == min(n, len(workload))
    assert np.array_equal(kept.arrival, workload.arrival[:n])
    assert [kept[i] for i in range(len(kept))] == [workload[i] for i in range(len(kept))]


def test_a_limit_below_1_is_refused():
    ones = np.ones(1, dtype=np.int64)
    with pytest.raises(ValueError, match="limit must be ≥ 1 request, not 0"):
        limit(Workload("w", np.zeros(1), ones, ones), 0)
