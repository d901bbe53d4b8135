"""Where the engine is a queue with a closed form, it has that form's mean, and no other.

Poisson arrivals, one-token prompts, no KV limit. Every test asserts that the closed form lies in the 95 % interval of
the simulated mean (plus the allowance of a step of boundary wait where the queue serves in continuous time), that the
half-width is at most 2 % of it, and that a step time altered by 5 % is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import t as student

from policies import make_policy
from simulator import EngineLimits, simulate
from simulator.latency import Batch
from simulator.workload import FixedLengths, GeometricLengths, PoissonArrivals, synthetic_workload
from simulator.workload.lengths import Lengths
from tests.support import ConstantLatency, Machine

STEP = 1.0 / 64
WARM_UP = 0.1
ROOMY = 10**9


@dataclass(frozen=True)
class ProportionalLatency:
    """An iteration takes a step's time for every request in the batch: the processor is shared."""

    seconds: float

    def step_time(self, batch: Batch) -> float:
        return self.seconds * batch.num_requests

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return self.seconds * num_decodes, 0.0


@dataclass(frozen=True)
class Queue:
    """A queue: how the engine is set to be it, and the mean sojourn that theory gives it."""

    policy: str
    limits: EngineLimits
    latency: Callable[[float], ConstantLatency | ProportionalLatency]
    lengths: Lengths
    load: float
    mean_sojourn: Callable[[float, float], float]
    """Of the mean service time and the load, seconds."""
    allowance: float
    """Boundary wait that theory does not know of, in steps of one request."""
    num_requests: int
    num_seeds: int = 12

    def mean_service(self) -> float:
        mean_output = self.lengths.output if isinstance(self.lengths, FixedLengths) else self.lengths.mean_output  # type: ignore[attr-defined]
        return STEP * float(mean_output)

    def simulated(self, step: float) -> tuple[float, float]:
        """Mean sojourn and the half-width of its 95 % interval over seeds, seconds."""
        rate = self.load / self.mean_service()
        means = []
        for seed in range(self.num_seeds):
            load = synthetic_workload(PoissonArrivals(rate), self.lengths, num_requests=self.num_requests, seed=seed)
            log = simulate(load, make_policy(self.policy), Machine(self.latency(step), ROOMY), limits=self.limits)
            kept = slice(int(WARM_UP * self.num_requests), None)
            means.append(float(np.mean(log.end[kept] - log.arrival[kept])))
        half_width = student.ppf(0.975, self.num_seeds - 1) * np.std(means, ddof=1) / math.sqrt(self.num_seeds)
        return float(np.mean(means)), float(half_width)


ONE_SEAT = EngineLimits(max_num_seqs=1)
ALL_SEATS = EngineLimits(max_num_seqs=ROOMY, max_num_batched_tokens=ROOMY)
UNLIMITED = f"chunked_prefill:token_budget={ROOMY}"

QUEUES = {
    # Wait of M/D/1: rho·s / (2·(1 − rho))
    "M/D/1": Queue(
        "fcfs",
        ONE_SEAT,
        ConstantLatency,
        FixedLengths(1, 8),
        0.6,
        lambda s, rho: s + rho * s / (2 * (1 - rho)),
        0,
        num_requests=6_000,
    ),
    # Pollaczek–Khinchine: lambda·E[S²] / (2·(1 − rho)); geometric on {1, 2, …} with mean g: E[L²] = g·(2g − 1)
    "M/G/1": Queue(
        "fcfs",
        ONE_SEAT,
        ConstantLatency,
        GeometricLengths(1, 8.0),
        0.5,
        lambda s, rho: s + rho * (2 - STEP / s) * s / (2 * (1 - rho)),
        0,
        num_requests=12_000,
    ),
    # Processor sharing: E[T] = E[S] / (1 − rho), whatever the distribution of S
    "M/G/1-PS": Queue(
        UNLIMITED,
        ALL_SEATS,
        ProportionalLatency,
        GeometricLengths(1, 200.0),
        0.5,
        lambda s, rho: s / (1 - rho),
        2,
        num_requests=12_000,
    ),
    # Infinitely many servers: nobody waits
    "M/G/infinity": Queue(
        UNLIMITED,
        ALL_SEATS,
        ConstantLatency,
        GeometricLengths(1, 120.0),
        5.0,
        lambda s, rho: s,
        1,
        num_requests=3_000,
    ),
}


@pytest.mark.parametrize("name", QUEUES)
def test_the_engine_is_the_queue(name: str) -> None:
    queue = QUEUES[name]
    expected = queue.mean_sojourn(queue.mean_service(), queue.load)
    mean, half_width = queue.simulated(STEP)
    assert half_width <= 0.02 * expected
    assert -half_width <= mean - expected <= half_width + queue.allowance * STEP
    for altered in (0.95 * STEP, 1.05 * STEP):
        mean, half_width = queue.simulated(altered)
        assert not -half_width <= mean - expected <= half_width + queue.allowance * STEP


def test_the_number_in_an_infinite_server_queue_is_poisson() -> None:
    queue = QUEUES["M/G/infinity"]
    rate = queue.load / queue.mean_service()
    load = synthetic_workload(PoissonArrivals(rate), queue.lengths, num_requests=20_000, seed=99)
    log = simulate(load, make_policy(queue.policy), Machine(ConstantLatency(STEP), ROOMY), limits=queue.limits)
    at = np.linspace(0.1, 0.9, 4_000) * log.arrival[-1]
    number = np.searchsorted(log.arrival, at, side="right") - np.searchsorted(np.sort(log.end), at, side="right")
    spacing = (at[1] - at[0]) / queue.mean_service()
    independent = len(at) * min(1.0, spacing)  # about as many independent samples
    expected = queue.load * (1 + 0.5 * STEP / queue.mean_service())
    assert abs(number.mean() - expected) < 4 * math.sqrt(expected / independent)
    assert abs(number.var() / expected - 1) < 4 * math.sqrt(2 / independent)
