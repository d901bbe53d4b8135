"""Timestamps that a log rounded to a coarse clock, and how they are spread again."""

from __future__ import annotations

import numpy as np

from simulator.random_streams import uniforms
from simulator.workload.workload import Floats

STREAM = "timestamp spread"
MIN_QUANTUM = 1.0
"""Ticks shorter than this, seconds, are left alone."""
MIN_REQUESTS = 100
"""Fewer timestamps than these prove nothing."""
_TOLERANCE = 0.005
"""How far a published timestamp may lie off its tick, seconds: Mooncake's lie up to 3 ms off."""


def quantum(times: Floats) -> float:
    """The tick to which timestamps were rounded, whole milliseconds in seconds; 0 if there is none ≥ 1 s.

    There is one if at least 100 timestamps share half as many values or fewer, and every value is a multiple
    of the tick, counted from the first, to within 5 ms: 3.000 s in Mooncake's conversation trace.
    """
    values = np.unique(times)
    if len(times) < MIN_REQUESTS or not 2 <= len(values) <= len(times) // 2:
        return 0.0
    gaps = np.diff(values)
    ticks = np.cumsum(np.maximum(np.rint(gaps / np.median(gaps)), 1))
    since_first = values[1:] - values[0]
    tick = float(round(since_first[-1] / ticks[-1], 3))
    off = np.abs(since_first - tick * ticks)
    return tick if tick >= MIN_QUANTUM and off.max() <= _TOLERANCE else 0.0


def spread_times(times: Floats, width: float, seed: int) -> Floats:
    """The times, each plus a uniform number on (0, width) seconds; row i uses number i of the stream."""
    return times + width * uniforms(seed, STREAM, len(times)) if width > 0 else times
