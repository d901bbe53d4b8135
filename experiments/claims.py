"""Claims about two policies on the same runs: what the paired interval of their difference allows to say."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from experiments.intervals import Interval, paired_difference
from experiments.numbers import number, with_half_width

NEGLIGIBLE = 0.01
"""Share of the other's |mean| up to which a gain is none."""


class Claim(NamedTuple):
    """What paired runs say of A against B.

    difference: of the means, A − B, with the half-width of its paired 95 % interval, NaN for a single run; it is
    not turned round where lower is better. improves: the whole interval lies on the better side of 0, so a gain is
    certain however small. does_not_improve: the better end of the interval is a gain of at most 1 % of |B|.
    worsens: the whole interval lies on the worse side. A certain gain of less than 1 % improves and does not
    improve, by these definitions; where the interval is wide neither holds, and the runs are too few to say.
    """

    mean_a: float
    mean_b: float
    difference: Interval
    improves: bool
    does_not_improve: bool
    worsens: bool

    @property
    def words(self) -> str:
        """The claim for people: "better", "worse", "no better", or that it is open, with the difference."""
        if self.does_not_improve:
            said = "worse" if self.worsens else "no better"
        else:
            said = "better" if self.improves else "not decided"
        mean, half_width = self.difference
        difference = with_half_width(mean, half_width) if isfinite(half_width) else number(mean)
        return f"{said}: {number(self.mean_b)} → {number(self.mean_a)} ({difference})"


def compare_pairs(a: Sequence[float], b: Sequence[float], *, higher_is_better: bool = True) -> Claim:
    """The claim about A against B, whose runs share their random numbers pair by pair.

    a, b: one value a run, in the same order of seeds and unit. A single run, and a value that is NaN, claim
    nothing. Raises ValueError if the two are not of the same length, or empty.
    """
    difference = paired_difference(a, b)
    mean_a, mean_b = float(np.mean(a)), float(np.mean(b))
    sign = 1.0 if higher_is_better else -1.0
    least = sign * difference.mean - difference.half_width
    most = sign * difference.mean + difference.half_width
    return Claim(
        mean_a,
        mean_b,
        difference,
        improves=least > 0,
        does_not_improve=most <= NEGLIGIBLE * abs(mean_b),
        worsens=most < 0,
    )


def improves(a: Sequence[float], b: Sequence[float], *, higher_is_better: bool = True) -> bool:
    """Whether A is better than B: the paired 95 % interval of the gain lies above 0."""
    return compare_pairs(a, b, higher_is_better=higher_is_better).improves


def does_not_improve(a: Sequence[float], b: Sequence[float], *, higher_is_better: bool = True) -> bool:
    """Whether A is not better than B: the upper end of the paired 95 % interval of the gain is at most 1 % of |B|."""
    return compare_pairs(a, b, higher_is_better=higher_is_better).does_not_improve
