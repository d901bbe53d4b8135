"""Searches along the rate for one seed: the end of the rates that keep a condition, and the peak of a score.

With the seed fixed the outcome is a function of the rate alone, and nearly a smooth one: lengths are the same at every
rate, and the arrivals of one rate are those of another on another scale. So each seed has a rate of its own, which a
deterministic search finds, and the rates of independent seeds are a sample of which `experiments.intervals.interval`
takes the mean: retrospective (sample-path) root finding (Healy and Schruben, WSC 1991; Chen and Schmeiser, IIE
Transactions 33, 2001), here with runs of one length. That mean is the expected end of a run of this length, not the
rate at which the expected metric crosses its bound; the two meet as runs get longer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, isfinite, log2, sqrt
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

_CHECKS_AN_OCTAVE = 4
_GOLDEN = (sqrt(5) - 1) / 2


class SearchSettings(BaseModel):
    """How far and how finely rates are searched.

    lowest, highest: as multiples of the rate at which a search starts, which is the capacity of fcfs on a backlog.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(default=0.02, gt=0, lt=1, description="width of the last bracket over its upper end")
    lowest: float = Field(default=1 / 64, gt=0, lt=1)
    highest: float = Field(default=4.0, ge=2, allow_inf_nan=False)


class Bracket(NamedTuple):
    """Two rates, requests/s, between which the rate lies that was looked for, and the run that stands for it.

    low is 0 where it lies below every rate tried, high infinite where it lies above; at is None where no rate will do.
    """

    low: float
    high: float
    at: float | None


def highest_kept(keeps: Callable[[float], bool], start: float, settings: SearchSettings) -> Bracket:
    """The end of the rates that keep a condition, and the first beyond it that does not.

    Doubling or halving from `start` finds a rate that keeps it and one that does not, and bisection closes in
    until they are within the tolerance. Then four rates in the octave below are tried: where one does not keep the
    condition, all above it count for nothing, and the search goes on below. So of a condition that is not monotone
    the first failure found counts, however well higher rates do; a failure more than an octave below is not looked
    for, since runs of few requests fail by chance. `at` is the highest rate that keeps the condition.
    """
    low, high = _around(keeps, start, settings)
    while True:
        low, high = _bisect(keeps, low, high, settings.tolerance)
        failing = [rate for rate in _octave_below(low, start) if rate >= settings.lowest * start and not keeps(rate)]
        if not failing:
            return Bracket(low, high, low or None)
        high = min(failing)
        low, high = _below(keeps, high, settings.lowest * start)


def highest_score(score: Callable[[float], float], start: float, settings: SearchSettings) -> Bracket:
    """The rate at which a score of one peak is highest: golden-section search (Kiefer, 1953).

    score: minus infinity where a rate does not count, which is so from some rate on. Halving or doubling from
    `start` finds a rate that scores higher than the one above and at least as high as the one below. Where it has
    several peaks, one of them is found. No parabola is fitted: smooth goodput rises in proportion to the rate and
    falls off a cliff, and the vertex of a parabola through such a roof is off its ridge.
    """
    best = start
    while score(best) <= score(best / 2) or score(best) == -inf:
        best /= 2
        if best < settings.lowest * start:
            return Bracket(0.0, 2 * best, None)
    while score(2 * best) > score(best):
        best *= 2
        if best > settings.highest * start:
            return Bracket(best, inf, best)
    return _golden(score, best / 2, best, 2 * best, settings.tolerance)


def _around(keeps: Callable[[float], bool], start: float, settings: SearchSettings) -> tuple[float, float]:
    if not keeps(start):
        return _below(keeps, start, settings.lowest * start)
    low = start
    while keeps(2 * low):
        low *= 2
        if low >= settings.highest * start:
            return low, inf
    return low, 2 * low


def _below(keeps: Callable[[float], bool], high: float, lowest: float) -> tuple[float, float]:
    """A rate that keeps the condition and one at most twice as high that does not; 0 and `high` if there is none."""
    while high / 2 >= lowest:
        if keeps(high / 2):
            return high / 2, high
        high /= 2
    return 0.0, high


def _bisect(keeps: Callable[[float], bool], low: float, high: float, tolerance: float) -> tuple[float, float]:
    if not low or not isfinite(high):
        return low, high
    while high - low > tolerance * high:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low, high


def _octave_below(low: float, start: float) -> list[float]:
    """Rates from low/2 to low, excluded, on a scale that starts at `start`, so that searches share them."""
    if not low:
        return []
    first = ceil(_CHECKS_AN_OCTAVE * log2(low / 2 / start))
    rates = [start * 2 ** (i / _CHECKS_AN_OCTAVE) for i in range(first, first + _CHECKS_AN_OCTAVE)]
    return [rate for rate in rates if rate < low]


def _golden(score: Callable[[float], float], low: float, best: float, high: float, tolerance: float) -> Bracket:
    """Narrow low < best < high, of which the middle one scores most; of equals the lower rate counts."""
    while high - low > tolerance * high:
        below = best - low > high - best
        probe = best - (1 - _GOLDEN) * (best - low) if below else best + (1 - _GOLDEN) * (high - best)
        if score(probe) > score(best) or (below and score(probe) == score(best)):
            low, best, high = (low, probe, best) if below else (best, probe, high)
        else:
            low, high = (probe, high) if below else (low, probe)
    return Bracket(low, high, best)
