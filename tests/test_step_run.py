"""When iterations of a run end, and which of them is the first at or after a time."""

from __future__ import annotations

from math import inf, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.step_run import StepRun


def test_boundaries_are_sums_of_durations_that_grow_evenly() -> None:
    assert [StepRun(1.0, 2.0, 0.5).boundary(steps) for steps in range(5)] == [1.0, 3.0, 5.5, 8.5, 12.0]


@pytest.mark.parametrize(
    ("time", "steps"), [(0.0, 1), (3.0, 1), (3.0001, 2), (5.5, 2), (8.5, 3), (12.0, 4), (99.0, 4), (inf, 4)]
)
def test_the_first_iteration_that_ends_at_or_after_a_time_by_hand(time: float, steps: int) -> None:
    assert StepRun(1.0, 2.0, 0.5).steps_until(time, most=4) == steps


@given(
    first=st.floats(1e-6, 10.0),
    growth=st.floats(0.0, 1e-3),
    start=st.floats(0.0, 1e6),
    most=st.integers(1, 300),
    steps=st.integers(1, 300),
    towards=st.sampled_from([-inf, 0.0, inf]),
)
def test_it_is_exact_beside_a_boundary(
    first: float, growth: float, start: float, most: int, steps: int, towards: float
) -> None:
    made = StepRun(start, first, growth)
    time = made.boundary(steps)
    time = nextafter(time, towards) if towards else time
    expected = next((i for i in range(1, most) if made.boundary(i) >= time), most)
    assert made.steps_until(time, most) == expected
