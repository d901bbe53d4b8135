"""Quantiles of all gaps of a run, added chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.token_log import Floats

MAX_EXACT = 32_000_000
"""Gaps kept one by one: 256 MB of them."""

_SHIFT = 42
_NUM_BINS = 1 << (63 - _SHIFT)


class GapSample:
    """All gaps up to `MAX_EXACT`, and beyond that a histogram of them (16 MB).

    A bin holds the non-negative floats that share their exponent and the first ten bits of their mantissa, so
    each order statistic, and with it each quantile, is known to within a relative 2⁻¹¹ (0.05 %).
    """

    def __init__(self, num_gaps: int, max_exact: int = MAX_EXACT) -> None:
        self.num_gaps = num_gaps
        self.exact = num_gaps <= max_exact
        self._filled = 0
        self._values = np.empty(num_gaps if self.exact else 0)
        self._counts = np.zeros(0 if self.exact else _NUM_BINS, dtype=np.int64)

    def add(self, gaps: Floats) -> None:
        """Take in the gaps of a chunk, seconds. Raises ValueError if one is negative or NaN."""
        if len(gaps) and not gaps.min() >= 0:
            raise ValueError(f"a token time is {gaps.min()} s after the one before it: they must not run backwards")
        if self.exact:
            self._values[self._filled : self._filled + len(gaps)] = gaps
            self._filled += len(gaps)
        else:
            self._counts += np.bincount(gaps.view(np.int64) >> _SHIFT, minlength=_NUM_BINS)

    def quantiles(self, q: Sequence[float]) -> Floats:
        """Quantiles of all gaps, linear between order statistics, seconds; NaN without gaps."""
        if not self.num_gaps:
            return np.full(len(q), np.nan)
        if self.exact:
            return np.quantile(self._values, q, overwrite_input=True)
        rank = np.asarray(q) * (self.num_gaps - 1)
        below = self._order_statistic(np.floor(rank))
        return below + (self._order_statistic(np.ceil(rank)) - below) * (rank % 1.0)

    def _order_statistic(self, rank: Floats) -> Floats:
        bins = np.searchsorted(np.cumsum(self._counts), rank, side="right")
        lowest = (bins << _SHIFT).view(np.float64)
        highest = (((bins + 1) << _SHIFT) - 1).view(np.float64)
        return (lowest + highest) / 2
