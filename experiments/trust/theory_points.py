"""The runs of the theory page: every queue at several loads, with the step time as theory has it and altered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from experiments.intervals import Interval
from experiments.progress import progress
from experiments.trust.queue import DELAY, STEP, Means
from experiments.trust.queues import QUEUES
from simulator.workload import GeometricLengths

LOADS, LOADS_WITHOUT_WAIT = (0.2, 0.4, 0.6, 0.8), (1.0, 5.0, 25.0)
ALTERED = (0.95, 1.05)
"""Step times that have to be noticed, of the one that theory has."""
_MARGIN, _FEWEST = 1.4, 8_000
_QUICK = (4, 200)  # seeds, requests


class Point(NamedTuple):
    """One mean of one queue at one load; times are in mean service times."""

    queue: str
    of: str
    load: float
    theory: float
    in_steps: float | None
    """By the chain of steps, which has no boundary wait to allow for; None where it does not apply."""
    simulated: Interval
    altered: tuple[Interval, ...]
    """Simulated with the step times of `ALTERED`."""
    agrees: bool
    noticed: tuple[bool, ...]
    """Whether each altered step time disagrees."""
    by_delays: Interval
    """Simulated mean delay, plus the mean service time."""

    @property
    def difference(self) -> Interval:
        """Of the simulated mean from theory, relative."""
        return relative(self.simulated, self.theory)

    @property
    def steps_agree(self) -> bool | None:
        """Whether the mean in steps lies in the interval by delays; None where there is none."""
        return None if self.in_steps is None else abs(self.by_delays.mean - self.in_steps) <= self.by_delays.half_width


def relative(mean: Interval, theory: float) -> Interval:
    """The difference of a simulated mean from theory, as a share of it."""
    return Interval(mean.mean / theory - 1, mean.half_width / theory)


def loads(name: str) -> tuple[float, ...]:
    """Those at which the page runs a queue."""
    return LOADS_WITHOUT_WAIT if QUEUES[name].load >= 1 else LOADS


def points(*, quick: bool, jobs: int | None, quiet: bool) -> list[Point]:
    """All points, in the order of the queues and their loads.

    quick: a few hundred requests, to see that it works. jobs: worker processes; all cores if None.
    """
    from joblib import Parallel, cpu_count, delayed

    todo = [(name, load, factor) for name in QUEUES for load in loads(name) for factor in (1.0, *ALTERED)]
    done: list[Means] = []
    workers = Parallel(n_jobs=min(jobs or cpu_count(), len(todo)), return_as="generator")
    with progress(len(todo), quiet) as update:
        for means in workers(delayed(_simulated)(*each, quick) for each in todo):
            done.append(means)
            update(len(done))
    found = dict(zip(todo, done, strict=True))
    return [
        _point(name, of, load, [found[name, load, factor] for factor in (1.0, *ALTERED)])
        for name, queue in QUEUES.items()
        for of in queue.closed_forms
        for load in loads(name)
    ]


def _simulated(name: str, load: float, factor: float, quick: bool) -> Means:
    queue = QUEUES[name]
    if quick:
        queue = replace(queue, num_seeds=_QUICK[0])
    return queue.simulated(factor * STEP, load, _QUICK[1] if quick else _num_requests(name, load))


def _num_requests(name: str, load: float) -> int:
    """About as many as keep the half-width of the mean sojourn below 2 %: the variance grows as 1/(1 − ρ)²."""
    queue = QUEUES[name]
    more = 1.0 if queue.load >= 1 else max(1.0, (1 - queue.load) / (1 - load)) ** 2
    return round(_MARGIN * more * max(queue.num_requests, _FEWEST))


def _point(name: str, of: str, load: float, means: Sequence[Means]) -> Point:
    queue = QUEUES[name]
    service, theory = queue.mean_service, queue.theory(load)[of]
    simulated, *altered = (each[of] for each in means)
    delay = means[0][DELAY]
    stepwise = of == "sojourn" and isinstance(queue.lengths, GeometricLengths)
    return Point(
        name,
        of,
        load,
        theory / service,
        queue.in_steps(load) / service if stepwise else None,
        _in_services(simulated, service),
        tuple(_in_services(each, service) for each in altered),
        queue.agrees(simulated, theory),
        tuple(not queue.agrees(each, theory) for each in altered),
        _in_services(Interval(delay.mean + service, delay.half_width), service),
    )


def _in_services(seconds: Interval, service: float) -> Interval:
    return Interval(seconds.mean / service, seconds.half_width / service)
