"""How smooth goodput moves with the rate: whether it rises and falls, and where it peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.claims import compare_pairs, improves
from experiments.intervals import Interval, interval
from experiments.paper.runs import Runs
from experiments.paper.shapes import peak_rate
from simulator.token_log import Floats

SPAN = "smooth_goodput_tokens_per_s"
"""Smooth goodput over the span of the run, which is the papers' reading of T."""
WINDOW = "smooth_goodput_tokens_per_s_window"


class Peak(NamedTuple):
    """Where a curve over the rates peaks.

    rates: of each seed, requests/s, (seeds,). rate: their mean. value: the highest of the means over seeds, at the
    measured rate `at`. rises, falls: whether the paired intervals say that the value there is above those at the
    lowest and at the highest rate. stable: whether the runs at `at` were.
    """

    rates: Floats
    rate: Interval
    at: float
    value: float
    rises: bool
    falls: bool
    stable: bool


def peak(runs: Runs, policy: str, key: str = SPAN) -> Peak:
    """Of one quantity of `summary_values`, higher being better."""
    return peak_of(runs, policy, runs.curves(policy, key))


def peak_of(runs: Runs, policy: str, curves: Floats) -> Peak:
    """As `peak`, of any quantity by seed and rate, (seeds, rates)."""
    rates = runs.rates
    own = np.array([peak_rate(rates, curve) for curve in curves])
    best = int(np.argmax(curves.mean(axis=0)))
    at_best = curves[:, best].tolist()
    return Peak(
        own,
        interval(own),
        rates[best],
        float(curves[:, best].mean()),
        rises=compare_pairs(at_best, curves[:, 0].tolist()).improves,
        falls=compare_pairs(at_best, curves[:, -1].tolist()).improves,
        stable=not runs.row(policy, rates[best]).unstable,
    )


def rescored(runs: Runs, policy: str, alpha: float) -> Floats:
    """Smooth goodput over the span had waiting cost `alpha` tokens/s, (seeds, rates); nothing is simulated anew.

    Σ (n − α·l) of a run is its number of tokens less α times its sum of idle latencies, where f is in seconds.
    """
    tokens, span = runs.curves(policy, "num_tokens"), runs.curves(policy, "span")
    idle = runs.curves(policy, "idle_latency_mean") * runs.curves(policy, "num_requests")
    return (tokens - alpha * idle) / span


def idle_dominates(runs: Runs, policy: str) -> bool:
    """Whether from the peak to the highest rate waiting costs more than what is lost in tokens, both in tokens/s."""
    found = peak(runs, policy)
    ends = found.at, runs.rates[-1]
    tokens = [runs.samples(policy, rate, "throughput_tokens_per_s") for rate in ends]
    waiting = [made - runs.samples(policy, rate, SPAN) for made, rate in zip(tokens, ends, strict=True)]
    return found.falls and improves((waiting[1] - waiting[0]).tolist(), (tokens[0] - tokens[1]).tolist())


def settings(runs: Sequence[Runs]) -> list[tuple[Runs, str]]:
    """Every study with each of its policies."""
    return [(each, policy) for each in runs for policy in each.policies]
