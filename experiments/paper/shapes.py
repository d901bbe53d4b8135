"""Where curves over the arrival rate peak and where they cross a bound, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.token_log import Floats


def peak_rate(rates: Sequence[float], values: Sequence[float] | Floats) -> float:
    """Rate at which the curve is highest, by a parabola through the best point and its neighbours.

    rates: ascending, the unit of the answer. values: one each. At either end of the curve that end, since nothing
    is known beyond it; of equal values the lowest rate. Raises ValueError where no value is a number.
    """
    if np.isnan(values).all():
        raise ValueError("a curve without a value has no peak")
    best = int(np.nanargmax(values))
    if best in (0, len(rates) - 1):
        return rates[best]
    x, y = np.array(rates[best - 1 : best + 2]), np.array(values[best - 1 : best + 2])
    square, slope, _ = np.polyfit(x - x[1], y, 2)
    return float(x[1] - slope / (2 * square)) if square < 0 else rates[best]


def last_rate_within(rates: Sequence[float], values: Sequence[float] | Floats, bound: float, *, below: bool) -> float:
    """Highest rate up to which the curve keeps to `bound`, linear between the rates it was measured at.

    below: whether to keep means values ≤ bound, otherwise ≥ bound. The first crossing counts, as a curve that
    comes back had not kept it. 0 if the lowest rate does not keep it; the highest rate if every one does.
    """
    slack = (bound - np.asarray(values)) * (1.0 if below else -1.0)
    broken = np.flatnonzero(~(slack >= 0))
    if not len(broken):
        return rates[-1]
    first = int(broken[0])
    if first == 0:
        return 0.0
    before, after = slack[first - 1], slack[first]
    share = before / (before - after) if np.isfinite(after) else 0.0
    return float(rates[first - 1] + share * (rates[first] - rates[first - 1]))


def ratios(a: Floats, b: Floats) -> Floats:
    """a / b of each pair, (n,); NaN where b is 0, since no factor leads there."""
    found = np.full(len(a), np.nan)
    np.divide(a, b, out=found, where=b != 0)
    return found
