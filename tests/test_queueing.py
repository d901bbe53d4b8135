"""Where the engine is a queue with a closed form, it has that form's mean, and no other.

Poisson arrivals, one-token prompts, no KV limit. Every test asserts that the closed form lies in the 95 % interval of
the simulated mean (plus the allowance of a step of boundary wait where the queue serves in continuous time), that the
half-width is at most 2 % of it, and that a step time altered by 5 % is noticed.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from experiments.trust.formulas import birth_death, erlang_c, limited_sharing_wait, processor_sharing, step_chain
from experiments.trust.queue import DELAY, ROOMY, STEP, BatchLatency, Means, Server
from experiments.trust.queues import QUEUES, constant
from policies import make_policy
from simulator import simulate
from simulator.workload import GeometricLengths, PoissonArrivals, synthetic_workload

WIDEST = {"sojourn": 0.02, "wait": 0.07}
"""Half-widths, of the mean. A wait varies more, and 5 % of the step time change it by a fifth."""


@cache
def simulated(name: str, factor: float) -> Means:
    return QUEUES[name].simulated(factor * STEP)


@pytest.mark.parametrize(("name", "of"), [(name, of) for name, queue in QUEUES.items() for of in queue.closed_forms])
def test_the_engine_is_the_queue(name: str, of: str) -> None:
    queue = QUEUES[name]
    expected = queue.theory()[of]
    mean, half_width = simulated(name, 1.0)[of]
    assert half_width <= WIDEST[of] * expected
    assert -half_width <= mean - expected <= half_width + queue.allowance * STEP
    for altered in (0.95, 1.05):
        mean, half_width = simulated(name, altered)[of]
        assert not -half_width <= mean - expected <= half_width + queue.allowance * STEP


@pytest.mark.parametrize(
    "name", [name for name, queue in QUEUES.items() if isinstance(queue.lengths, GeometricLengths)]
)
def test_the_mean_in_steps_needs_no_allowance_and_theory_is_within_it(name: str) -> None:
    queue = QUEUES[name]
    delay, half_width = simulated(name, 1.0)[DELAY]
    assert abs(delay + queue.mean_service - queue.in_steps()) <= half_width
    assert abs(queue.in_steps() - queue.theory()["sojourn"]) <= max(queue.allowance, 1e-6) * STEP


def test_the_closed_forms_agree_where_one_queue_is_another() -> None:
    s, rho = 3.0, 0.7
    assert birth_death(rho / s, lambda n: 1 / s) == pytest.approx(processor_sharing(s, rho))
    assert birth_death(4 * rho / s, lambda n: min(n, 4) / s) == pytest.approx(erlang_c(s, rho, 4))
    assert erlang_c(s, rho, 1) == pytest.approx(processor_sharing(s, rho))
    assert limited_sharing_wait(s, rho, 1) + s == pytest.approx(processor_sharing(s, rho))  # one seat: M/M/1
    assert limited_sharing_wait(s, rho, 60) == pytest.approx(0.0, abs=1e-8)


def test_a_chain_of_steps_that_has_no_stationary_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.1 requests/s are too many for 2 seats"):
        step_chain(1.1, lambda n: n / 100, 2, 100.0)


def test_the_number_in_an_infinite_server_queue_is_poisson() -> None:
    queue = QUEUES["M/G/infinity"]
    rate = queue.load / queue.mean_service
    load = synthetic_workload(PoissonArrivals(rate), queue.lengths, num_requests=20_000, seed=99)
    server = Server(BatchLatency(STEP, constant), ROOMY)
    log = simulate(load, make_policy(queue.policy), server, limits=queue.limits)
    at = np.linspace(0.1, 0.9, 4_000) * log.arrival[-1]
    number = np.searchsorted(log.arrival, at, side="right") - np.searchsorted(np.sort(log.end), at, side="right")
    spacing = (at[1] - at[0]) / queue.mean_service
    independent = len(at) * min(1.0, spacing)  # about as many independent samples
    expected = queue.load * (1 + 0.5 * STEP / queue.mean_service)
    assert abs(number.mean() - expected) < 4 * math.sqrt(expected / independent)
    assert abs(number.var() / expected - 1) < 4 * math.sqrt(2 / independent)
