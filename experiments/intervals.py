"""Means over replications, with the interval that says how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Interval(NamedTuple):
    """A mean and the half-width of its confidence interval, both in the unit of what was averaged."""

    mean: float
    half_width: float


def interval(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Student t interval of the mean of independent replications.

    The half-width is t_(n−1) · s/√n, with s the standard deviation of n − 1 degrees of freedom; NaN for one
    replication, which says nothing about the spread. A NaN among the values makes both numbers NaN.
    Raises ValueError where there is no value.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n == 0:
        raise ValueError("a mean needs at least one replication")
    if n == 1 or not np.isfinite(sample).all():
        return Interval(float(sample[0]) if n == 1 else float(sample.mean()), float("nan"))
    if (sample == sample[0]).all():
        return Interval(float(sample[0]), 0.0)
    spread = float(sample.std(ddof=1)) / n**0.5
    return Interval(float(sample.mean()), _t_quantile(n - 1, confidence) * spread)


def paired_difference(
    a: Sequence[float] | npt.NDArray[np.float64],
    b: Sequence[float] | npt.NDArray[np.float64],
    confidence: float = 0.95,
) -> Interval:
    """Student t interval of the mean of a − b over replications that share their random numbers.

    Raises ValueError if the two are not of the same length.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need as many replications on both sides, got {len(a)} and {len(b)}")
    return interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), confidence)


def _t_quantile(degrees: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))
