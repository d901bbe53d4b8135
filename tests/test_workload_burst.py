"""The burst cycle: its rates, its mean, its edges, and what it has in common with Poisson arrivals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.workload import BurstCycle, PoissonArrivals


def test_the_rate_is_that_of_the_surge_in_the_middle_and_of_quiet_around_it() -> None:
    times = BurstCycle(50.0, height=2.0, width=0.35, period=100.0).arrival_times(window=10_000.0, seed=3)
    within = times % 100.0
    surge = (within >= 32.5) & (within < 67.5)
    for count, expected in ((surge.sum(), 2.0 * 50 * 35 * 100), ((~surge).sum(), (0.3 / 0.65) * 50 * 65 * 100)):
        assert abs(count - expected) < 4 * math.sqrt(expected)
    assert abs(len(times) - 500_000) < 4 * math.sqrt(500_000)


@given(st.integers(0, 99), st.floats(0.1, 50.0))
def test_a_burst_of_height_1_is_poisson(seed: int, rate: float) -> None:
    flat = BurstCycle(rate, height=1.0).arrival_times(num_requests=200, seed=seed)
    assert flat == pytest.approx(PoissonArrivals(rate).arrival_times(num_requests=200, seed=seed), rel=1e-9)


@given(st.integers(0, 99), st.floats(0.5, 20.0))
def test_as_many_have_come_after_whole_cycles_as_without_bursts(seed: int, rate: float) -> None:
    burst, poisson = BurstCycle(rate, period=30.0), PoissonArrivals(rate)
    for cycles in (1, 3):
        with_it = burst.arrival_times(window=30.0 * cycles, seed=seed)
        assert len(with_it) == len(poisson.arrival_times(window=30.0 * cycles, seed=seed))
        assert (np.diff(with_it) >= 0).all()


def test_a_surge_may_hold_all_there_is() -> None:
    times = BurstCycle(10.0, height=4.0, width=0.25, period=80.0).arrival_times(num_requests=2000, seed=1) % 80.0
    assert ((times >= 30.0 - 1e-9) & (times <= 50.0 + 1e-9)).all()


@pytest.mark.parametrize(
    ("parameters", "piece"),
    [
        ({"rate": 0.0}, "positive"),
        ({"rate": math.inf}, "finite"),
        ({"rate": 1.0, "height": 0.9}, "0.9"),
        ({"rate": 1.0, "width": 0.0}, "width"),
        ({"rate": 1.0, "width": 1.0}, "width"),
        ({"rate": 1.0, "height": 3.0, "width": 0.35}, "their product exceeds 1"),
        ({"rate": 1.0, "period": 0.0}, "period"),
        ({"rate": 1.0, "height": math.nan}, "nan"),
    ],
)
def test_what_is_no_burst_cycle_is_refused(parameters: dict[str, float], piece: str) -> None:
    with pytest.raises(ValueError, match=piece):
        BurstCycle(**parameters)
