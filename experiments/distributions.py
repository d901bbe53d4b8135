"""Latency distributions as counts in fixed bins, so that those of many runs add up exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.token_log import TokenLog

Counts = npt.NDArray[np.int64]

BINS_PER_DECADE = 100
_LOWEST_DECADE, _HIGHEST_DECADE = -5, 5
NUM_BINS = (_HIGHEST_DECADE - _LOWEST_DECADE) * BINS_PER_DECADE
_AT_EDGE = 1e-6
"""Bins, 2·10⁻⁸ of the value: as far beyond an edge as a rounding can carry what is at it, such as gaps of 0.1 s."""
EDGES: npt.NDArray[np.float64] = 10.0 ** (np.arange(NUM_BINS + 1) / BINS_PER_DECADE + _LOWEST_DECADE)
"""Upper end of each bin, seconds, (NUM_BINS + 1,): 10 µs to 10⁵ s, 2.3 % apart."""


def count_latencies(log: TokenLog) -> dict[str, Counts]:
    """How many values of `ttft` and of `tbt` (every gap) lie in each bin (EDGES[i − 1], EDGES[i]], (NUM_BINS + 1,).

    What is shorter than the first edge counts as the first, what is longer than the last as the last, and what is
    beyond an edge by no more than a rounding (`_AT_EDGE`) as being at it.
    """
    counts = {"ttft": np.zeros(NUM_BINS + 1, dtype=np.int64), "tbt": np.zeros(NUM_BINS + 1, dtype=np.int64)}
    for first, last in log.chunks():
        times, offsets = log.token_times(first, last)
        if not len(times):
            continue
        answered = offsets[1:] > offsets[:-1]
        heads = offsets[:-1][answered]
        counts["ttft"] += _count(times[heads] - log.arrival[first:last][answered])
        gaps = np.diff(times)
        within = np.ones(len(gaps), dtype=np.bool_)
        within[heads[1:] - 1] = False
        counts["tbt"] += _count(gaps[within])
    return counts


def exceedance(counts: Counts) -> npt.NDArray[np.float64]:
    """Share of the values that are longer than each of EDGES, (NUM_BINS + 1,); NaN where there are none."""
    total = counts.sum()
    return 1.0 - np.cumsum(counts) / total if total else np.full(len(counts), np.nan)


def _count(values: npt.NDArray[np.float64]) -> Counts:
    with np.errstate(divide="ignore"):
        bins = np.ceil((np.log10(values) - _LOWEST_DECADE) * BINS_PER_DECADE - _AT_EDGE)
    return np.bincount(np.clip(bins, 0, NUM_BINS).astype(np.int64), minlength=NUM_BINS + 1)
