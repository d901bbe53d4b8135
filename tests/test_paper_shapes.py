"""Where curves peak and where they cross a bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.paper.shapes import last_rate_within, peak_rate, ratios

RATES = [1.0, 2.0, 4.0, 5.0, 8.0]


@given(st.floats(1.6, 6.0), st.floats(0.1, 10.0))
def test_the_peak_of_a_parabola_is_exact(vertex: float, height: float) -> None:
    values = [height - (rate - vertex) ** 2 for rate in RATES]
    assert peak_rate(RATES, values) == pytest.approx(vertex)


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5))
def test_a_peak_lies_between_the_neighbours_of_the_best_point(values: list[float]) -> None:
    best = int(np.argmax(values))
    found = peak_rate(RATES, values)
    assert RATES[max(best - 1, 0)] <= found <= RATES[min(best + 1, 4)]


def test_a_curve_that_only_rises_or_falls_peaks_at_its_end() -> None:
    assert peak_rate(RATES, [1, 2, 3, 4, 5]) == 8.0
    assert peak_rate(RATES, [5, 4, 3, 2, 1]) == 1.0
    assert peak_rate(RATES, [7, 7, 7, 7, 7]) == 1.0


def test_no_value_no_peak() -> None:
    with pytest.raises(ValueError, match="no peak"):
        peak_rate(RATES, [np.nan] * 5)


@given(st.floats(1.0, 8.0))
def test_a_straight_line_crosses_where_it_does(crossing: float) -> None:
    below = last_rate_within(RATES, [rate - crossing for rate in RATES], 0.0, below=True)
    above = last_rate_within(RATES, [crossing - rate for rate in RATES], 0.0, below=False)
    assert below == pytest.approx(crossing)
    assert above == pytest.approx(crossing)


def test_a_bound_that_never_holds_or_always_does() -> None:
    assert last_rate_within(RATES, [5, 5, 5, 5, 5], 1.0, below=True) == 0.0
    assert last_rate_within(RATES, [5, 5, 5, 5, 5], 5.0, below=True) == 8.0


def test_a_curve_that_comes_back_had_not_kept_its_bound() -> None:
    assert last_rate_within(RATES, [0, 2, 0, 0, 0], 1.0, below=True) == 1.5


def test_an_undefined_value_keeps_no_bound() -> None:
    assert last_rate_within(RATES, [0, np.nan, 0, 0, 0], 1.0, below=True) == 1.0


def test_no_ratio_to_nothing() -> None:
    assert ratios(np.array([3.0, 1.0]), np.array([2.0, 0.0])) == pytest.approx([1.5, np.nan], nan_ok=True)
