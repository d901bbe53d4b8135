"""Arrival processes: the distributions that they claim, common random numbers, and the two ways to stop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.workload import FixedLengths, GammaArrivals, PoissonArrivals, synthetic_workload

rates = st.floats(1e-3, 1e3)


def gaps(arrivals, num_requests=50_000):
    return np.diff(arrivals.arrival_times(num_requests=num_requests, seed=1), prepend=0.0)


def test_poisson_gaps_are_exponential():
    assert stats.kstest(gaps(PoissonArrivals(4.0)), "expon", args=(0, 1 / 4.0)).pvalue > 0.001


@pytest.mark.parametrize("cv", [0.25, 1.0, 2.0])
def test_gamma_gaps_have_the_mean_and_the_cv_asked_for(cv):
    found = gaps(GammaArrivals(2.0, cv))
    assert found.mean() == pytest.approx(0.5, rel=4 * cv / math.sqrt(len(found)))
    assert found.std() / found.mean() == pytest.approx(cv, rel=0.05)
    assert stats.kstest(found, "gamma", args=(cv**-2, 0, 0.5 * cv**2)).pvalue > 0.001


def test_gamma_with_cv_1_is_poisson():
    poisson = PoissonArrivals(3.0).arrival_times(num_requests=1000, seed=5)
    gamma = GammaArrivals(3.0, 1.0).arrival_times(num_requests=1000, seed=5)
    assert gamma == pytest.approx(poisson, rel=1e-9)


@given(rates, st.integers(0, 2**32))
def test_arrivals_at_rate_r_are_those_at_rate_1_divided_by_r(rate, seed):
    unit = PoissonArrivals(1.0).arrival_times(num_requests=20, seed=seed)
    assert np.array_equal(PoissonArrivals(rate).arrival_times(num_requests=20, seed=seed), unit / rate)


@given(rates, st.floats(0, 300), st.sampled_from([0.3, 1.0, 5.0]), st.integers(0, 99))
def test_a_window_holds_exactly_the_arrivals_before_its_end(rate, load, cv, seed):
    window = load / rate
    arrivals = GammaArrivals(rate, cv)
    inside = arrivals.arrival_times(window=window, seed=seed)
    longer = arrivals.arrival_times(num_requests=len(inside) + 1, seed=seed)
    assert np.array_equal(inside, longer[:-1])
    assert longer[-1] >= window
    assert (inside < window).all()


def test_at_an_infinite_rate_all_arrive_at_0():
    assert PoissonArrivals(math.inf).arrival_times(num_requests=3).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rate", [0.0, -1.5, math.nan, -math.inf])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match=f"arrival rate must be positive, not {rate} requests/s"):
        PoissonArrivals(rate)


@pytest.mark.parametrize("cv", [0.0, -1.0, math.nan, math.inf])
def test_a_cv_that_is_not_positive_and_finite_is_refused(cv):
    with pytest.raises(ValueError, match=f"must be positive and finite, not {cv}"):
        GammaArrivals(1.0, cv)


@pytest.mark.parametrize(
    ("arrivals", "options", "message"),
    [
        (PoissonArrivals(1.0), {}, "either num_requests or window"),
        (PoissonArrivals(1.0), {"num_requests": 1, "window": 1.0}, "either num_requests or window"),
        (PoissonArrivals(1.0), {"window": -1.0}, "not -1.0 s"),
        (PoissonArrivals(1.0), {"window": math.nan}, "not nan s"),
        (PoissonArrivals(1.0), {"window": math.inf}, "not inf s"),
        (PoissonArrivals(math.inf), {"window": 1.0}, "infinite arrival rate"),
        (PoissonArrivals(1.0), {"num_requests": -1}, "num_requests must be ≥ 0, not -1"),
    ],
)
def test_bad_bounds_are_refused(arrivals, options, message):
    with pytest.raises(ValueError, match=message):
        arrivals.arrival_times(**options)


def test_a_synthetic_workload_says_what_it_was_drawn_from():
    workload = synthetic_workload(PoissonArrivals(2.0), FixedLengths(100, 10), window=50.0, seed=3)
    assert workload.name == "fixed-100-10"
    assert workload.origin == {
        "arrivals": "PoissonArrivals(rate=2.0)",
        "lengths": "fixed-100-10",
        "seed": 3,
    }
    assert workload.arrival[-1] < 50.0
    assert set(workload.prompt_length) == {100}
    assert set(workload.output_length) == {10}


def test_a_longer_synthetic_workload_starts_with_the_shorter_one():
    short, long = (
        synthetic_workload(GammaArrivals(2.0, 2.0), FixedLengths(9, 9), num_requests=n, seed=3) for n in (10, 99)
    )
    assert np.array_equal(long.arrival[:10], short.arrival)
