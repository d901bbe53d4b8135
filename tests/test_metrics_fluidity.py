import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.metrics import fluid_token_rate
from simulator.metrics.fluidity import fluidity_index, smallest_tbt
from simulator.token_log import TokenLog
from tests import hand_logs, slow_metrics
from tests.hand_logs import DROPPED, FAILED, UNFINISHED, log_of, row

times = st.integers(0, 256).map(lambda i: i / 64)
answers = st.lists(times, max_size=12).map(sorted)
bounds = st.sampled_from([1 / 64, 0.125, 0.25, 1.0])


def fluidity(tokens, ttft=1.0, tbt=1.0):
    return float(fluidity_index(hand_logs.ragged([tokens]), ttft, tbt)[0])


def test_early_tokens_leave_slack_for_a_stall():
    assert fluidity([0.5, 0.5, 0.5, 4.0]) == 1.0  # due at 1, 2, 3 and 4 s
    assert fluidity([0.5, 0.5, 0.5, 4.5]) == 3 / 4


def test_after_a_miss_deadlines_go_on_from_the_late_token():
    assert fluidity([3.5, 4.5, 5.5, 6.5]) == 3 / 6  # the first token missed 1, 2 and 3 s
    assert fluidity([1.0, 4.5, 5.5, 7.0]) == 2 / 6  # token 2 missed 2, 3 and 4 s; token 4 missed 6.5 s
    assert fluidity([1.0, 2.25, 3.25, 4.5]) == 2 / 4  # a miss is at least one, however small


@given(st.lists(answers, max_size=6), st.sampled_from([0.0, 0.125, 1.0]), bounds)
def test_the_index_equals_etalons_loop_over_the_gaps(requests, ttft, tbt):
    got = fluidity_index(hand_logs.ragged(requests), ttft, tbt).tolist()
    slow = [
        float(slow_metrics.fluidity(slow_metrics.fractions(t), Fraction(ttft), Fraction(tbt))) if t else np.nan
        for t in requests
    ]
    assert got == pytest.approx(slow, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize("step", [0.05, 0.1, 1 / 3, 0.7])
def test_tokens_on_their_deadlines_meet_them_whatever_the_rounding_of_sums(step):
    on_time = np.cumsum(np.full(1000, step))
    assert max(np.diff(on_time)) > step
    assert fluidity(on_time, ttft=step, tbt=step) == 1.0
    assert fluidity(on_time + step, ttft=step, tbt=step) == 999 / 1001  # one token late by exactly one deadline


def test_no_token_has_no_fluidity_and_one_has_that_of_its_deadline():
    assert np.isnan(fluidity([]))
    assert fluidity([1.0]) == 1.0
    assert fluidity([1.5]) == 0.0
    assert fluidity_index(hand_logs.ragged([[], [9.0], []])).tolist() == pytest.approx([np.nan, 0, np.nan], nan_ok=True)


@pytest.mark.parametrize(("ttft", "tbt"), [(-1.0, 1.0), (float("nan"), 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, 1e-10)])
def test_deadlines_that_cannot_be_are_refused(ttft, tbt):
    with pytest.raises(ValueError, match=r"must be .* s, not"):
        fluidity([1.0], ttft, tbt)


def test_a_bound_beyond_any_run_never_binds():
    assert fluidity([1.0, 1e6], ttft=1e300, tbt=1e300) == 1.0


def test_fluidity_can_fall_when_a_token_comes_earlier():
    assert fluidity([2.0, 3.0]) == 1 / 3  # 1 and 2 s missed; then 3 s is met
    assert fluidity([1.5, 3.0]) == 0.0  # 1 s missed; then 2.5 s is missed


def test_fluidity_falls_in_about_one_of_25_random_cases_when_a_token_comes_earlier():
    draw = random.Random(1)
    falls = 0
    for _ in range(4000):
        tokens = sorted(draw.randint(0, 12) / 2 for _ in range(draw.randint(2, 5)))
        i = draw.randrange(len(tokens))
        earliest = int(2 * tokens[i - 1]) if i else 0
        earlier = [*tokens[:i], draw.randint(earliest, int(2 * tokens[i])) / 2, *tokens[i + 1 :]]
        slow = [slow_metrics.fluidity(slow_metrics.fractions(t), Fraction(1), Fraction(1)) for t in (tokens, earlier)]
        falls += slow[1] < slow[0]
    assert 0.02 < falls / 4000 < 0.06


@given(answers, st.lists(bounds, min_size=2, max_size=2).map(sorted))
def test_a_longer_time_between_deadlines_never_lowers_fluidity(tokens, tbts):
    short, long = (fluidity([*tokens, 5.0], 0.5, tbt) for tbt in tbts)
    assert short <= long


@given(answers, st.sampled_from([0.5, 0.9, 1.0]))
def test_the_smallest_tbt_is_enough_and_a_nanosecond_less_is_not(tokens, fluid):
    least = float(smallest_tbt(hand_logs.ragged([tokens]), 0.5, fluid)[0])
    if least == np.inf:
        assert not fluidity(tokens, 0.5, 1e6) >= fluid
    else:
        assert fluidity(tokens, 0.5, least) >= fluid
        assert least < 1.5e-9 or fluidity(tokens, 0.5, least - 1e-9) < fluid


def test_the_fluid_token_rate_is_that_of_the_slowest_request_that_must_be_fluid():
    fast = [row(float(s), [s + 0.1 + i / 32 for i in range(20)]) for s in range(99)]
    slow = row(99.0, [99.1 + i / 4 for i in range(20)])
    assert fluid_token_rate(log_of([*fast, slow])) == 32.0
    assert fluid_token_rate(log_of([*fast, slow]), share=1.0) == 4.0
    assert fluid_token_rate(log_of([slow])) == 4.0


@pytest.mark.parametrize(("share", "needed"), [(0.01, 1), (0.025, 3), (0.07, 7), (0.29, 29), (0.5, 50), (1.0, 100)])
def test_a_share_is_of_whole_requests(share, needed):
    due_after = [row(0.0, [0.1, 0.1 + i / 64]) for i in range(1, 101)]
    assert fluid_token_rate(log_of(due_after), share=share) == pytest.approx(64 / needed)


def test_a_rate_is_judged_by_what_counts_as_fluid():
    halting = log_of([row(0.0, [0.1, 0.225, 0.35, 0.975])])
    assert fluid_token_rate(halting) == pytest.approx(3 / 0.875)  # nobody may miss: the fourth is due then
    assert fluid_token_rate(halting, fluid=0.5) == pytest.approx(6 / 0.875)  # it may miss three: 3 of 6 are met


def test_the_rate_of_a_run_that_is_read_in_parts_is_that_of_the_whole(monkeypatch):
    rows = [row(float(i), [i + 0.1, i + 0.1 + i / 64, i + 0.2 + i / 32]) for i in range(1, 9)]
    whole = fluid_token_rate(log_of(rows), share=0.5)
    monkeypatch.setattr(TokenLog, "chunks", lambda log: [(0, 2), (2, 7), (7, log.num_requests)])
    assert fluid_token_rate(log_of(rows), share=0.5) == whole


@pytest.mark.parametrize("status", [DROPPED, FAILED, UNFINISHED])
def test_who_did_not_finish_is_fluid_at_no_rate(status):
    unfinished = row(0.0, [0.0, 0.0], status, None if status == UNFINISHED else 1.0)
    assert fluid_token_rate(log_of([unfinished])) == 0.0
    assert fluid_token_rate(log_of([unfinished, row(0.0, [0.05] * 20)]), share=0.5) == pytest.approx(1e9)


def test_a_short_answer_that_began_late_is_fluid_at_no_rate_and_nobody_at_an_unknown_one():
    assert fluid_token_rate(log_of([row(0.0, [5.0, 5.0])])) == 0.0
    assert np.isnan(fluid_token_rate(log_of([])))


def test_the_search_ends_for_times_beyond_any_run():
    assert fluid_token_rate(log_of([row(0.0, [0.0, 1e9])])) == 0.0


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\], not"):
        fluid_token_rate(log_of([]), share=share)
