"""Deliveries against their definitions, one token at a time; exact, since bounds are compared exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import make_policy
from simulator import Status, TokenTimes, simulate
from simulator.delivery import DELIVERIES, HoldLast, HoldTokens, Immediate, Pace, deliver, make_delivery
from simulator.metrics.slo import SLO, slo_met
from tests.hand_logs import Row, log_of, ragged, row, rows
from tests.support import Machine, a100_like, workload


def reference(times: list[float], gap: float) -> list[float]:
    delivered: list[float] = []
    for time in times:
        delivered.append(max(time, delivered[-1] + gap) if delivered else time)
    return delivered


def split(tokens: TokenTimes) -> list[list[float]]:
    return [tokens.times[a:b].tolist() for a, b in pairwise(tokens.offsets)]


def test_the_stall_that_the_tbt_sees_and_the_reader_does_not() -> None:
    # 10 tokens in 1 s, then a stall of 1 s, read at 4 tokens/s
    generated = [0.125 * i for i in range(1, 9)] + [2.0, 2.125]
    log = log_of([row(0.0, generated)])
    held = deliver(log, "hold_tokens:gap=0.25")
    assert split(held.token_times()) == [[0.125 + 0.25 * i for i in range(10)]]
    assert split(held.generated_times()) == [generated]
    strict = SLO(tbt=0.25)
    met = [slo_met(strict, of.token_times(), of.arrival, of.status).tolist() for of in (log, held)]
    assert met == [[False], [True]]


@given(rows=rows(), gap=st.sampled_from([0.1, 0.25, 1 / 3, 7.0]))
def test_held_and_paced_tokens_are_those_of_the_definition(rows: list[Row], gap: float) -> None:
    log = log_of(rows)
    for delivery, apart in [(HoldTokens(gap=gap), gap), (Pace(speed=1 / gap), 1 / (1 / gap))]:
        done = deliver(log, delivery)
        generated, delivered = split(log.generated_times()), split(done.token_times())
        assert delivered == [reference(times, apart) for times in generated]
        for before, after in zip(generated, delivered, strict=True):
            assert all(b >= a for a, b in zip(before, after, strict=True))
            assert after == sorted(after)
            assert after[:1] == before[:1]
        assert done.generated_times().times.tolist() == log.generated_times().times.tolist()


@given(rows=rows(), gap=st.sampled_from([0.1, 1 / 3, 0.7]))
def test_with_the_bound_as_the_gap_no_token_that_is_there_is_late(rows: list[Row], gap: float) -> None:
    log = log_of(rows)
    before = slo_met(SLO(tbt=gap), log.token_times(), log.arrival, log.status)
    held = deliver(log, HoldTokens(gap=gap))
    after = slo_met(SLO(tbt=gap), held.token_times(), held.arrival, held.status)
    assert (after | ~before).all()


def test_immediate_is_the_log_as_it_was() -> None:
    log = log_of([row(0.0, [1.0, 2.0]), row(0.5, [], Status.DROPPED, 3.0)])
    assert Immediate().delivered(log.generated_times(), np.array([])) is not None
    now = deliver(log, "immediate")
    assert now.delivered is None
    assert now.meta == {"delivery": {"name": "immediate"}}
    held = deliver(log, "hold_tokens:gap=5")
    assert deliver(held, "immediate").token_times().times.tolist() == [1.0, 2.0]
    assert deliver(held, "pace:speed=4") == deliver(log, "pace:speed=4")


def test_requests_without_tokens_and_logs_without_requests() -> None:
    pace = Pace(speed=2.0)
    assert split(pace.delivered(ragged([[], [1.0, 1.0, 1.0], []]), np.array([]))) == [[], [1.0, 1.5, 2.0], []]
    assert split(pace.delivered(ragged([[], []]), np.array([]))) == [[], []]
    assert split(pace.delivered(ragged([]), np.array([]))) == []


def test_a_simulated_run_keeps_both_times() -> None:
    load = workload(np.linspace(0, 4, 20).tolist(), 200, 30)
    log = simulate(load, make_policy("fcfs"), Machine(a100_like()))
    paced = deliver(log, "pace:speed=20")
    assert paced.generated_times().times.tolist() == log.token_times().times.tolist()
    gaps = [np.diff(times) for times in split(paced.token_times())]
    assert all((gap >= 0.05 - 1e-12).all() for gap in gaps)
    assert paced.meta["delivery"] == {"name": "pace", "speed": 20.0}
    assert (paced.end == log.end).all()


def test_a_delivery_is_named_with_its_parameters() -> None:
    assert make_delivery("hold_tokens:gap=0.2") == HoldTokens(gap=0.2)
    assert set(DELIVERIES) == {"immediate", "hold_tokens", "pace", "hold_last"}
    for spec, piece in [
        ("hold_token", "unknown delivery 'hold_token'; did you mean hold_tokens"),
        ("hold_tokens:gap=0", "gap: Input should be greater than 0, not '0'"),
        ("hold_tokens:tbt=1", "hold_tokens has no parameter 'tbt' (it has gap)"),
        ("pace:speed=inf", "speed"),
        ("hold_last:wait=0", "wait: Input should be greater than 0, not '0'"),
        ("immediate:gap=1", "it has none"),
    ]:
        with pytest.raises(ValueError, match="delivery") as error:
            make_delivery(spec)
        assert piece in str(error.value)


def test_readers_are_paced_each_at_their_own_speed() -> None:
    tokens = ragged([[1.0, 1.0, 1.0], [], [1.0, 1.0, 1.0], [1.0, 1.0]])
    own = Pace().delivered(tokens, np.array([2.0, 1.0, 4.0, np.nan]))
    assert split(own) == [[1.0, 1.5, 2.0], [], [1.0, 1.25, 1.5], [1.0, 1.0 + 1.0 / 5.0]]
    assert split(Pace(speed=2.0).delivered(tokens, np.array([9.0, 9.0, 9.0, 9.0])))[2] == [1.0, 1.5, 2.0]


@given(rows=rows(), wait=st.sampled_from([0.125, 600.0]))
def test_only_a_last_token_that_is_not_the_first_is_withheld(rows: list[Row], wait: float) -> None:
    log = log_of(rows)
    held = deliver(log, HoldLast(wait=wait))
    for before, after in zip(split(log.generated_times()), split(held.token_times()), strict=True):
        assert after[:-1] == before[:-1]
        assert after[-1:] == [t + wait if len(before) > 1 else t for t in before[-1:]]
        assert after == sorted(after)
    assert held.generated_times().times.tolist() == log.generated_times().times.tolist()
