"""What arrives in each workload of the benchmark: lengths, rates and seeds, the same on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from experiments.bench.cases import NEAR_CAPACITY, TRACE, Case
from simulator.metrics import SLO, User
from simulator.workload import (
    FixedLengths,
    PoissonArrivals,
    Workload,
    load_length_table,
    read_trace,
    synthetic_workload,
    with_expectations,
    with_predictions,
)

PROFILE = "a100-80gb/llama-3-8b/tp1"
CAPACITY = 8.8
"""Requests/s of azure-conv lengths that `PROFILE` serves under fcfs: n/(last finish) of a backlog of n = 10,000
that is there from the start, seeds 1 to 5: 8.67 to 8.86, on average 8.8."""
PROMISE = SLO(ttft=1.0, tbt=0.1)
SEED = 1
_PREDICTION_SIGMA = 0.5


class _Load(NamedTuple):
    """Poisson arrivals at `rate` requests/s; lengths of a table, up to `max_total` tokens in all, or fixed ones.

    people: whether the scheduler is told of an SLO, reading speeds and predicted output lengths.
    """

    rate: float
    lengths: str | FixedLengths = "azure-conv"
    max_total: int | None = None
    people: bool = False


_LOADS = {
    "f6": _Load(6.0, FixedLengths(512, 128)),
    "c5": _Load(5.0, max_total=4096),
    "c1": _Load(1.0),
    "overload": _Load(1.3 * CAPACITY),
    NEAR_CAPACITY: _Load(0.9 * CAPACITY),
    "andes": _Load(0.9 * CAPACITY, people=True),
    "policies": _Load(0.9 * CAPACITY, people=True),
}


def workload_of(case: Case) -> Workload:
    """What arrives in the case. Raises ValueError or OSError of one line if its trace cannot be read."""
    if case.workload == TRACE:
        assert case.trace is not None
        return read_trace(Path(case.trace), limit=case.requests)
    load = _LOADS[case.workload]
    lengths = load_length_table(load.lengths, load.max_total) if isinstance(load.lengths, str) else load.lengths
    workload = synthetic_workload(
        PoissonArrivals(load.rate), lengths, num_requests=case.requests, seed=SEED, name=case.workload
    )
    return _with_people(workload) if load.people else workload


def _with_people(workload: Workload) -> Workload:
    user = User()
    told = with_expectations(
        workload,
        speed=user.speeds(len(workload)),
        expected_ttft=user.qoe.expected_ttft(workload.prompt_length),
        slo=PROMISE,
    )
    return with_predictions(told, _PREDICTION_SIGMA, SEED)
