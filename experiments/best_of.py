"""The best of several policies on the same runs: which of them may be it, and whether one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from experiments.claims import NEGLIGIBLE
from experiments.intervals import Interval, paired_difference


class Best(NamedTuple):
    """What paired runs say of the best of k policies.

    names: those that may be the best, the best mean first. winner: the only one of them, or None where they tie.
    differences: by how much the best mean is ahead of each other policy (positive is better), with the half-width
    of its simultaneous interval, NaN for a single run.
    """

    names: tuple[str, ...]
    winner: str | None
    differences: dict[str, Interval]


def best_of(
    samples: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool = True,
    indifference: float = NEGLIGIBLE,
    confidence: float = 0.95,
) -> Best:
    """The policies that may be the best of k that share their random numbers run by run.

    samples: by policy, one value a run, in the same order of seeds. A policy is out if another one is ahead of it
    by more than the half-width of their paired t interval at 1 − (1 − confidence)/(k − 1), and by more than
    `indifference` · |mean of the one behind|. Of a single run only the latter can be said. A mean that is NaN is
    worse than any other.

    Whatever the spread of each policy and the correlation between them, a best policy is out with a probability of
    at most (1 − confidence)/2, and where several are equally best, one of them is named as the winner with at most
    1 − confidence: each follows from Bonferroni's inequality over the k − 1 comparisons with one best policy. These
    are multiple comparisons with the best (Hsu, Multiple Comparisons, 1996, chapter 4) on paired differences.
    Nelson & Matejcik (Management Science 41, 1995) have narrower intervals, but they need all pairs of policies to
    be equally correlated (sphericity), which policies that differ in little and in much are not.

    Raises ValueError if there is no policy, or if the numbers of runs differ.
    """
    if not samples:
        raise ValueError("the best of no policies is none")
    sign = 1.0 if higher_is_better else -1.0
    gains = {name: sign * np.asarray(values, dtype=np.float64) for name, values in samples.items()}
    means = {name: float(np.mean(values)) for name, values in gains.items()}
    ranked = sorted(means, key=lambda name: -np.inf if isnan(means[name]) else means[name], reverse=True)
    each = 1.0 - (1.0 - confidence) / max(len(ranked) - 1, 1)

    def is_ahead(name: str, other: str) -> bool:
        if isnan(means[other]):
            return not isnan(means[name])
        difference = paired_difference(gains[name], gains[other], each)
        noise = 0.0 if isnan(difference.half_width) else difference.half_width
        return difference.mean > max(indifference * abs(means[other]), noise)

    names = tuple(n for i, n in enumerate(ranked) if not any(is_ahead(better, n) for better in ranked[:i]))
    lead = {name: paired_difference(gains[ranked[0]], gains[name], each) for name in ranked[1:]}
    return Best(names, names[0] if len(names) == 1 else None, lead)
