"""Andes' estimates of QoE are the metric's areas, for any history of late tokens and whatever comes next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.andes.outlook import Outlook, Readers
from simulator.metrics.andes_qoe import Expectation, qoe_until
from simulator.metrics.deadlines import stall_free_start
from simulator.token_log import TokenTimes

MANY = 10**9
SPEED = 4.0
TTFT = 1.0
reader_speeds = st.sampled_from([2.0, 4.0, 5.0])


def by_the_metric(times: np.ndarray, speed: float, end: float) -> float:
    """QoE v1 at `end` of an endless answer with tokens at `times`, seconds since submission."""
    tokens = TokenTimes(times[times <= end], np.array([0, int((times <= end).sum())]))
    start = stall_free_start(tokens, np.array([speed]))
    expected = Expectation(np.array([TTFT]), np.array([speed]))
    return float(qoe_until(start, expected, np.array([end]), np.array([MANY]), "v1")[0])


def readers(bursts: list[np.ndarray], speed: float, now: float) -> Readers:
    """Where the reader of a request stands whose tokens came in bursts, with a stall before each."""
    early_tokens = early_delay = delay = 0.0
    num = 0
    for burst in bursts:
        early_tokens, early_delay = num, early_delay + (num - early_tokens) * delay
        delay = max(delay, burst[0] - TTFT - num / speed)
        num += len(burst)
    columns = (now - TTFT, speed, num, delay, early_tokens, early_delay)
    return Readers(*(np.array([float(column)]) for column in columns))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[np.ndarray], float, float]:
    speed = draw(reader_speeds)
    at, bursts = 0.0, []
    for _ in range(draw(st.integers(0, 3))):
        at += draw(st.floats(0.01, 20.0))
        bursts.append(at + 0.01 * np.arange(draw(st.integers(1, 40))))
        at = float(bursts[-1][-1])
    return bursts, speed, at + draw(st.floats(0.0, 15.0))


@given(histories(), st.floats(0.1, 30.0))
def test_a_wait_is_foreseen_as_the_metric_will_see_it(history, horizon: float) -> None:
    bursts, speed, now = history
    assume(abs(now + horizon - TTFT) > 1e-9)  # whether something is expected by then is up to a rounding
    outlook = Outlook(readers(bursts, speed, now), horizon)
    times = np.concatenate([*bursts, []])
    assert outlook.now()[0] == pytest.approx(by_the_metric(times, speed, now), abs=1e-9)
    assert outlook.if_left_waiting()[0] == pytest.approx(by_the_metric(times, speed, now + horizon), abs=1e-9)


@given(histories(), st.floats(0.1, 30.0), st.sampled_from([1.0, 1.5, 10.0]), st.floats(0.0, 12.0))
def test_service_after_a_stall_is_foreseen_too(history, horizon: float, pace: float, stall: float) -> None:
    """The next token comes when the stall ends; a server no slower than the reader is then foreseen exactly."""
    bursts, speed, now = history
    assume(abs(now + horizon - TTFT) > 1e-9)
    outlook = Outlook(readers(bursts, speed, now), horizon)
    to_come = now + stall + np.arange(int(horizon * speed * pace) + 2) / (speed * pace)
    expected = by_the_metric(np.concatenate([*bursts, to_come]), speed, now + horizon)
    if stall < horizon:
        assert outlook.if_served(speed * pace, stall)[0] == pytest.approx(expected, abs=1e-9)
    else:
        assert outlook.if_served(speed * pace, stall)[0] == outlook.if_left_waiting()[0]


def test_a_slow_server_is_read_at_its_own_rate() -> None:
    # expected over 8 s: 4 · 8²/2; served at 1 token/s from the start: 1 · 8²/2
    starved = Readers(*(np.array([column]) for column in (0.0, SPEED, 0.0, 0.0, 0.0, 0.0)))
    assert Outlook(starved, 8.0).if_served(1.0)[0] == pytest.approx(1 / 4)
    # 8 tokens in hand are read at 4 tokens/s while 2 tokens/s come: dry after 4 s at 16 tokens, then 2 tokens/s
    buffered = Readers(*(np.array([column]) for column in (0.0, SPEED, 8.0, 0.0, 0.0, 0.0)))
    area = 4 * 4**2 / 2 + 4 * 16 + 2 * 4**2 / 2
    assert Outlook(buffered, 8.0).if_served(2.0)[0] == pytest.approx(area / (4 * 8**2 / 2))
    # 2 in hand and 3.5 tokens/s: dry after 4 s at 16 tokens again
    slightly = Readers(*(np.array([column]) for column in (0.0, SPEED, 2.0, 0.0, 0.0, 0.0)))
    area = 4 * 4**2 / 2 + 4 * 16 + 3.5 * 4**2 / 2
    assert Outlook(slightly, 8.0).if_served(3.5)[0] == pytest.approx(area / (4 * 8**2 / 2))


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 3.0, 4.0, 9.0])
def test_each_reader_is_foreseen_as_if_alone(rate: float) -> None:
    # of 4, 2 and 1 token/s, each half a second late and with two tokens or more in hand
    columns = ([2.0, 1.5, 1.5], [4.0, 2.0, 1.0], [10.0, 4.0, 3.0], [0.5] * 3, [3.0, 0.0, 0.0], [0.5, 0.0, 0.0])
    several = Readers(*map(np.array, columns))
    alone = [Readers(*(column[i : i + 1] for column in several)) for i in range(3)]
    for stall in (0.0, 2.0):
        together = Outlook(several, 8.0).if_served(rate, stall)
        assert together.tolist() == [Outlook(one, 8.0).if_served(rate, stall)[0] for one in alone]


def test_nothing_is_lost_before_anything_is_expected() -> None:
    early = Readers(*(np.array([column]) for column in (-12.0, SPEED, 0.0, 0.0, 0.0, 0.0)))
    outlook = Outlook(early, 10.0)
    assert outlook.now()[0] == outlook.if_left_waiting()[0] == outlook.if_served(1.0)[0] == 1.0


@given(histories(), st.floats(0.1, 30.0), st.floats(0.5, 50.0), st.floats(0.0, 12.0))
def test_service_never_hurts_and_a_stall_never_helps(history, horizon: float, rate: float, stall: float) -> None:
    bursts, speed, now = history
    outlook = Outlook(readers(bursts, speed, now), horizon)
    waiting, served, stalled = (
        outlook.if_left_waiting()[0],
        outlook.if_served(rate)[0],
        outlook.if_served(rate, stall)[0],
    )
    assert waiting - 1e-12 <= stalled <= served + 1e-12
    assert min(waiting, stalled, served, outlook.now()[0]) >= 0.0
    assert max(waiting, stalled, served, outlook.now()[0]) <= 1.0
