"""Operations on ragged arrays: segment i of an array is values[offsets[i]:offsets[i + 1]].

`offsets` is (n + 1,), starts at 0, never falls and ends at len(values); any segment may be empty. The traps
of `ufunc.reduceat` with empty segments (it answers with the element that follows) are handled here and
nowhere else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.token_log import Floats, Ints

Bools = npt.NDArray[np.bool_]


class Ragged(NamedTuple):
    """Values of consecutive segments and the offsets that part them."""

    values: Floats
    offsets: Ints


def reduce(ufunc: np.ufunc, values: npt.NDArray[Any], offsets: Ints, empty: Any) -> npt.NDArray[Any]:
    """`ufunc.reduce` of each segment, (n,); `empty` for a segment without values."""
    filled = offsets[1:] > offsets[:-1]
    out = np.full(len(filled), empty, dtype=values.dtype)
    if filled.any():
        out[filled] = ufunc.reduceat(values, offsets[:-1][filled])
    return out


def first(values: Floats, offsets: Ints) -> Floats:
    """First value of each segment, (n,); NaN where it is empty."""
    return _pick(values, offsets, offsets[:-1])


def last(values: Floats, offsets: Ints) -> Floats:
    """Last value of each segment, (n,); NaN where it is empty."""
    return _pick(values, offsets, offsets[1:] - 1)


def positions(offsets: Ints) -> Ints:
    """Position of each value in its segment, counted from 1, (len(values),)."""
    return np.arange(1, offsets[-1] + 1) - np.repeat(offsets[:-1], np.diff(offsets))


def diff(values: Floats, offsets: Ints) -> Ragged:
    """Differences of successive values within each segment: one fewer than values, none if it has none."""
    counts = np.maximum(np.diff(offsets) - 1, 0)
    kept = np.diff(values)[~starts(offsets)[1:]]
    return Ragged(kept, np.concatenate(([0], np.cumsum(counts))))


def starts(offsets: Ints) -> Bools:
    """Whether each value is the first of its segment, (len(values),)."""
    out = np.zeros(offsets[-1], dtype=np.bool_)
    out[offsets[:-1][offsets[1:] > offsets[:-1]]] = True
    return out


def rows(values: Floats, offsets: Ints, which: Bools) -> Ragged:
    """Some of the segments, in their order; which: (n,)."""
    counts = np.diff(offsets)
    return Ragged(values[np.repeat(which, counts)], np.concatenate(([0], np.cumsum(counts[which]))))


def running_max(values: Floats, offsets: Ints) -> Floats:
    """Largest value so far within each segment, (len(values),).

    Numpy orders complex numbers by their real part and then by their imaginary one, so with the number of the
    segment as real part one running maximum starts anew by itself in every segment.
    """
    keyed = np.empty(len(values), dtype=np.complex128)
    keyed.real = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keyed.imag = values
    return np.ascontiguousarray(np.maximum.accumulate(keyed, out=keyed).imag)


def quantile(values: Floats, offsets: Ints, q: float) -> Floats:
    """Quantile q of each segment, (n,), linear between order statistics as `numpy.quantile`; NaN where empty.

    Segments are sorted as rows of a few padded tables, one for each power of two of their length, so that no
    table is more than half padding.
    """
    counts = np.diff(offsets)
    out = np.full(len(counts), np.nan)
    octave = np.frexp(np.maximum(counts - 1, 0).astype(np.float64))[1]
    for power in np.unique(octave[counts > 0]):
        rows = np.flatnonzero((octave == power) & (counts > 0))
        table = _padded(values, offsets[rows], counts[rows])
        table.sort(axis=1)
        rank = (counts[rows] - 1) * q
        below = np.floor(rank).astype(np.int64)
        above = np.minimum(below + 1, counts[rows] - 1)
        row = np.arange(len(rows))
        low = table[row, below]
        out[rows] = low + (table[row, above] - low) * (rank - below)
    return out


def _padded(values: Floats, first_index: Ints, counts: Ints) -> Floats:
    """Segments as rows, padded with infinity at the right."""
    column = np.arange(counts.max())
    table = values[np.minimum(first_index[:, None] + column, len(values) - 1)]
    table[column >= counts[:, None]] = np.inf
    return table


def _pick(values: Floats, offsets: Ints, index: Ints) -> Floats:
    filled = offsets[1:] > offsets[:-1]
    out = np.full(len(filled), np.nan)
    out[filled] = values[index[filled]]
    return out
