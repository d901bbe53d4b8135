import math
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.metrics import latencies, ragged
from simulator.metrics.gap_sample import GapSample
from tests import hand_logs
from tests.hand_logs import DROPPED, FINISHED, UNFINISHED

rows = st.lists(st.lists(st.floats(0, 1e6), max_size=40), max_size=8)


@given(rows)
def test_every_operation_equals_a_loop_over_the_segments(rows):
    values, offsets = hand_logs.ragged(rows)
    nan = float("nan")
    assert ragged.reduce(np.maximum, values, offsets, nan) == pytest.approx(
        [max(r, default=nan) for r in rows], nan_ok=True, abs=0
    )
    assert ragged.first(values, offsets) == pytest.approx([r[0] if r else nan for r in rows], nan_ok=True, abs=0)
    assert ragged.last(values, offsets) == pytest.approx([r[-1] if r else nan for r in rows], nan_ok=True, abs=0)
    assert ragged.positions(offsets).tolist() == [i for r in rows for i in range(1, len(r) + 1)]
    assert ragged.starts(offsets).tolist() == [i == 0 for r in rows for i in range(len(r))]
    assert ragged.running_max(values, offsets).tolist() == [x for r in rows for x in accumulate(r, max)]
    gaps = ragged.diff(values, offsets)
    assert gaps.values.tolist() == [b - a for r in rows for a, b in pairwise(r)]
    assert np.diff(gaps.offsets).tolist() == [max(len(r) - 1, 0) for r in rows]


@given(rows, st.data())
def test_some_of_the_rows_are_those_rows(rows, data):
    which = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
    some = ragged.rows(*hand_logs.ragged(rows), which)
    kept = [r for r, kept in zip(rows, which, strict=True) if kept]
    assert some.values.tolist() == [x for r in kept for x in r]
    assert np.diff(some.offsets).tolist() == [len(r) for r in kept]


def test_a_running_maximum_begins_anew_in_every_segment_at_any_size_and_sign():
    values, offsets = hand_logs.ragged([[-1e300, -2.0], [], [-5.0, -7.0, np.inf, 3.0], [0.0, -0.0], [-np.inf, 1.0]])
    expected = [-1e300, -2.0, -5.0, -5.0, np.inf, np.inf, 0.0, 0.0, -np.inf, 1.0]
    assert ragged.running_max(values, offsets).tolist() == expected


@given(rows, st.sampled_from([0.0, 0.25, 0.5, 0.99, 1.0]))
def test_quantile_of_each_segment_is_numpys(rows, q):
    expected = [np.quantile(r, q) if r else np.nan for r in rows]
    assert ragged.quantile(*hand_logs.ragged(rows), q) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_empty_segments_at_both_ends_and_in_a_row_do_not_borrow_from_their_neighbours():
    values, offsets = hand_logs.ragged([[], [], [3.0, 1.0], [], [2.0], []])
    assert ragged.reduce(np.add, values, offsets, 0.0).tolist() == [0.0, 0.0, 4.0, 0.0, 2.0, 0.0]


def test_latencies_of_a_request_with_no_one_and_three_tokens():
    tokens = hand_logs.ragged([[], [1.5], [2.0, 2.25, 4.0], [2.0, 2.5]])
    arrival, status = np.array([0.0, 1.0, 1.0, 1.0]), np.array([FINISHED, FINISHED, FINISHED, DROPPED])
    nan = pytest.approx(np.nan, nan_ok=True)
    assert latencies.ttft(tokens, arrival).tolist() == [nan, 0.5, 1.0, 1.0]
    assert latencies.tpot(tokens).tolist() == [nan, nan, 1.0, 0.5]
    assert latencies.e2e(tokens, arrival, status).tolist() == [nan, 0.5, 3.0, nan]
    assert latencies.normalised_latency(tokens, arrival, status).tolist() == [nan, 0.5, 1.0, nan]
    assert latencies.streaming(tokens).tolist() == [nan, 0.0, 2.0, 0.5]
    gaps = latencies.gaps(tokens)
    assert gaps.values.tolist() == [0.25, 1.75, 0.5]
    assert latencies.tbt_max(gaps).tolist() == [nan, nan, 1.75, 0.5]
    assert latencies.tbt_quantile(gaps, 0.5).tolist() == [nan, nan, 1.0, 0.5]


def test_an_unfinished_request_has_a_first_token_but_no_end():
    tokens = hand_logs.ragged([[2.0, 3.0]])
    assert latencies.ttft(tokens, np.array([1.0])) == 1.0
    assert np.isnan(latencies.e2e(tokens, np.array([1.0]), np.array([UNFINISHED])))


gap_lists = st.lists(st.lists(st.floats(0, 1e5), max_size=50), max_size=4)


@given(gap_lists)
def test_few_gaps_have_exact_quantiles_and_many_are_within_their_stated_error(chunks):
    gaps = np.array([g for chunk in chunks for g in chunk])
    exact, coarse = GapSample(len(gaps)), GapSample(len(gaps), max_exact=0)
    for chunk in chunks:
        exact.add(np.array(chunk))
        coarse.add(np.array(chunk))
    q = [0.0, 0.5, 0.9, 0.99, 1.0]
    expected = np.quantile(gaps, q) if len(gaps) else np.full(5, np.nan)
    assert np.array_equal(exact.quantiles(q), expected, equal_nan=True)
    assert coarse.quantiles(q) == pytest.approx(expected, rel=2**-11 * (1 + 1e-9), abs=1e-300, nan_ok=True)


def test_as_many_gaps_as_are_kept_one_by_one_are_exact():
    assert GapSample(3, max_exact=3).exact
    assert not GapSample(4, max_exact=3).exact


@pytest.mark.parametrize("gap", [-0.5, float("nan")])
def test_token_times_that_run_backwards_are_refused(gap):
    with pytest.raises(ValueError, match=f"{gap} s after the one before it"):
        GapSample(2).add(np.array([1.0, gap]))


def test_the_time_per_output_token_of_one_token_is_not_computed():
    tokens = hand_logs.ragged([[2.0], [], [1.0, 2.0, 4.0]])
    with np.errstate(all="raise"):
        assert latencies.tpot(tokens).tolist() == pytest.approx([math.nan, math.nan, 1.5], nan_ok=True, abs=0)
