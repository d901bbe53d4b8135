"""Greedy packing against the best choice: never better, and close where only memory binds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.andes.greedy_gap import SIZES, random_case, relative_gaps, table
from policies.andes.knapsack import by_density, exact, greedy

items = st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(1, 12)), min_size=1, max_size=9)


def columns(of: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([gain for gain, _ in of]), np.array([size for _, size in of])


def packed(gain: np.ndarray, size: np.ndarray, max_count: int, capacity: int) -> np.ndarray:
    return greedy(by_density(gain, size), size, max_count, capacity)


def test_packing_goes_by_gain_per_block_and_past_what_does_not_fit() -> None:
    gain, size = np.array([0.9, 1.0, 0.2, 0.5]), np.array([3, 8, 2, 1])
    assert by_density(gain, size).tolist() == [3, 0, 1, 2]
    assert packed(gain, size, 4, 6).tolist() == [True, False, True, True]
    assert packed(gain, size, 2, 6).tolist() == [True, False, False, True]
    assert packed(gain, size, 4, 14).all()
    assert not packed(gain, size, 4, 0).any()


def test_equals_are_packed_in_the_order_given() -> None:
    gain, size = np.zeros(5), np.array([2, 2, 2, 2, 2])
    assert packed(gain, size, 3, 100).tolist() == [True, True, True, False, False]
    often = np.arange(1000) % 3
    in_order = [i for gain in (2, 1, 0) for i in range(1000) if i % 3 == gain]
    assert by_density(often.astype(float), np.ones(1000, dtype=int)).tolist() == in_order


@given(items, st.integers(1, 9), st.integers(0, 40))
def test_the_exact_solution_is_that_of_trying_all(of: list[tuple[float, int]], max_count: int, capacity: int) -> None:
    gain, size = columns(of)
    subsets = (list(some) for k in range(max_count + 1) for some in combinations(range(len(of)), k))
    best = max(gain[some].sum() for some in subsets if size[some].sum() <= capacity)
    assert exact(gain, size, max_count, capacity) == pytest.approx(best)


@given(items, st.integers(1, 9), st.integers(1, 40))
def test_greedy_keeps_to_the_limits_and_never_beats_exact(
    of: list[tuple[float, int]], max_count: int, capacity: int
) -> None:
    gain, size = columns(of)
    taken = packed(gain, size, max_count, capacity)
    assert taken.sum() <= max_count
    assert size[taken].sum() <= capacity
    assert gain[taken].sum() <= exact(gain, size, max_count, capacity) + 1e-9


@given(items, st.integers(1, 40))
def test_without_a_count_limit_the_gap_is_at_most_the_largest_gain(of: list[tuple[float, int]], capacity: int) -> None:
    gain, size = columns(of)
    fits = size <= capacity
    gain, size = gain[fits], size[fits]
    taken = packed(gain, size, len(gain), capacity)
    assert exact(gain, size, len(gain), capacity) - gain[taken].sum() <= gain.max(initial=0.0) + 1e-9


@pytest.mark.parametrize("num_items", [8, 20])
def test_the_published_cases_keep_the_bound(num_items: int) -> None:
    for number in range(100):
        slack, binding = random_case(num_items, False, number), random_case(num_items, True, number)
        assert -1e-9 <= slack.best - slack.greedy <= slack.largest
        assert binding.greedy <= binding.best + 1e-9
        assert binding.best <= slack.best + 1e-9


def test_a_binding_count_limit_costs_greedy_much_more_than_memory() -> None:
    assert relative_gaps(20, False, 200).mean() < 0.02 < 0.05 < relative_gaps(20, True, 200).mean()


def test_the_table_has_a_row_for_each_kind_of_case() -> None:
    rows = [line.strip("| ").split(" | ") for line in table(20).splitlines()[2:]]
    assert [(items, limit) for items, limit, *_ in rows] == [(str(n), of) for n in SIZES for of in ("slack", "binding")]
    for items, limit, mean, *quantiles, worst, none in rows:
        gaps = relative_gaps(int(items), limit == "binding", 20)
        assert mean == f"{100 * gaps.mean():.1f}"
        assert quantiles == [f"{100 * np.quantile(gaps, q):.1f}" for q in (0.5, 0.9, 0.99)]
        assert worst == f"{100 * gaps.max():.1f}"
        assert int(none) == 5 * int((gaps < 1e-12).sum())


def test_a_binding_limit_is_one_at_least_and_three_quarters_of_what_fits() -> None:
    # of three requests at most two fit, and three quarters of that is one: the best choice is the largest gain
    for number in range(50):
        case = random_case(3, True, number)
        assert case.best == case.largest
