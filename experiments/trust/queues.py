"""The queues with a closed form that the engine can be set to be: one-token prompts, so L output tokens are L steps.

One seat is one server. With an unlimited token budget whoever has a seat is served from the next boundary on, and the
step time of a batch of n says how fast n are served together.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from experiments.trust.formulas import (
    birth_death,
    erlang_c,
    limited_sharing_wait,
    pollaczek_khinchine,
    processor_sharing,
)
from experiments.trust.queue import ROOMY, STEP, Queue
from simulator import EngineLimits
from simulator.workload import FixedLengths, GeometricLengths


def constant(n: int) -> float:
    """Every iteration takes as long: as many servers as seats."""
    return 1.0


def proportional(n: int) -> float:
    """One processor, shared."""
    return float(n)


def roofline(n: int) -> float:
    """Four can be served in the time of one, then the processor is shared: as many servers as four."""
    return max(1.0, n / 4)


def smooth_roofline(n: int) -> float:
    """√(15 + n²) / 4: the same without a corner, so that every n is served at a rate of its own."""
    return sqrt(15 + n**2) / 4


def _chain_sojourn(shape: Callable[[int], float], seats: int) -> Callable[[float, float], float]:
    """Mean sojourn of the birth–death chain: b = min(n, seats) in the batch leave at b / (shape(b)·s) in all."""

    def mean(s: float, rho: float) -> float:
        arrival_rate = rho * seats / shape(seats) / s
        return birth_death(arrival_rate, lambda n: min(n, seats) / shape(min(n, seats)) / s)

    return mean


ONE_SEAT = EngineLimits(max_num_seqs=1)
ALL_SEATS = EngineLimits(max_num_seqs=ROOMY, max_num_batched_tokens=ROOMY)
UNLIMITED = f"chunked_prefill:token_budget={ROOMY}"
_SHARERS, _SEATS = 2, 16

QUEUES = {
    "M/D/1": Queue(
        "fcfs",
        ONE_SEAT,
        constant,
        FixedLengths(1, 8),
        0.6,
        {"sojourn": lambda s, rho: pollaczek_khinchine(s, rho, s**2)},
        0,
        num_requests=6_000,
    ),
    # Geometric on {1, 2, …} with mean g: E[L²] = g·(2g − 1)
    "M/G/1": Queue(
        "fcfs",
        ONE_SEAT,
        constant,
        GeometricLengths(1, 8.0),
        0.5,
        {"sojourn": lambda s, rho: pollaczek_khinchine(s, rho, (2 * s - STEP) * s)},
        0,
        num_requests=12_000,
    ),
    "M/G/1-PS": Queue(
        UNLIMITED,
        ALL_SEATS,
        proportional,
        GeometricLengths(1, 200.0),
        0.5,
        {"sojourn": processor_sharing},
        2,
        num_requests=12_000,
    ),
    # Infinitely many servers: nobody waits
    "M/G/infinity": Queue(
        UNLIMITED,
        ALL_SEATS,
        constant,
        GeometricLengths(1, 120.0),
        5.0,
        {"sojourn": lambda s, rho: s},
        1,
        num_requests=3_000,
    ),
    "limited PS": Queue(
        UNLIMITED,
        EngineLimits(max_num_seqs=_SHARERS),
        proportional,
        GeometricLengths(1, 400.0),
        0.5,
        {"sojourn": processor_sharing, "wait": lambda s, rho: limited_sharing_wait(s, rho, _SHARERS)},
        proportional(_SHARERS),
        num_requests=12_000,
    ),
    "M/M/4": Queue(
        UNLIMITED,
        EngineLimits(max_num_seqs=_SEATS),
        roofline,
        GeometricLengths(1, 400.0),
        0.6,
        {"sojourn": lambda s, rho: erlang_c(s, rho, 4)},
        roofline(_SEATS),
        num_requests=3_000,
        speed=4.0,
    ),
    "birth–death": Queue(
        UNLIMITED,
        EngineLimits(max_num_seqs=_SEATS),
        smooth_roofline,
        GeometricLengths(1, 400.0),
        0.6,
        {"sojourn": _chain_sojourn(smooth_roofline, _SEATS)},
        smooth_roofline(_SEATS),
        num_requests=3_000,
        speed=_SEATS / smooth_roofline(_SEATS),
    ),
}
"""By name; the load, the numbers of requests and of seeds are those of the tests."""
