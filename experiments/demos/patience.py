"""How long a dropped user has to be willing to wait for dropping to stop paying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import numpy as np

from experiments.demos.pairs import Pair
from experiments.intervals import Interval, interval
from simulator.token_log import Floats

POINTS = 61
_FIRST_GUESS = 60.0


class PatienceCurve(NamedTuple):
    """What dropping gains in smooth goodput against the patience of the dropped users, for one pair.

    patience: seconds. total, own: tokens/s, of all users and of the dropped alone. break_even, own_break_even:
    the patience from which on dropping gains nothing, seconds; 0 if it never does, infinite if nobody is dropped.
    """

    patience: Floats
    total: Floats
    own: Floats
    break_even: float
    own_break_even: float


def patience_curve(pair: Pair, longest: float) -> PatienceCurve:
    """The curve up to a patience of `longest` seconds. Nobody is dropped in the run compared with."""
    (gone, served), (others_a, others_b) = pair.parts
    others = others_a.smooth_goodput("patience") - others_b.smooth_goodput("patience")
    otherwise = served.smooth_goodput("patience")

    def own(patience: float) -> float:
        return gone.smooth_goodput("patience", patience) - otherwise

    def total(patience: float) -> float:
        return own(patience) + others

    grid = np.linspace(0.0, longest, POINTS)
    alone = np.array([own(patience) for patience in grid.tolist()])
    ends = [_crossing(gain) if len(gone.speed) else inf for gain in (total, own)]
    return PatienceCurve(grid, alone + others, alone, *ends)


def break_even(curves: Sequence[PatienceCurve]) -> tuple[Interval, Interval]:
    """The break-even patience of all users and of the dropped alone, with intervals over pairs, seconds."""
    return interval([each.break_even for each in curves]), interval([each.own_break_even for each in curves])


def _crossing(gain: Callable[[float], float]) -> float:
    """Where a function that never rises, and falls for ever, reaches 0; 0 if it starts below."""
    from scipy.optimize import brentq

    if gain(0.0) <= 0.0:
        return 0.0
    high = _FIRST_GUESS
    while gain(high) > 0.0:
        high *= 2.0
    return float(brentq(gain, 0.0, high, xtol=1e-6))
