"""Arrivals with a surge: quiet, busy and quiet again, cycle after cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.random_streams import uniforms
from simulator.workload.arrivals import STREAM, PoissonArrivals
from simulator.workload.workload import Floats


@dataclass(frozen=True)
class BurstCycle(PoissonArrivals):
    """Poisson arrivals whose rate is `height` times the mean for a share `width` of each cycle of `period` seconds.

    The rest of the cycle has the one rate that leaves the mean at `rate`. Request n arrives when the integral of
    the rate reaches the sum of n unit exponential gaps, the same ones as for `PoissonArrivals` of the seed.
    Source: Andes (arXiv 2404.16283): one cycle of 1200 s, height 1.2 to 2.8, width 0.25 to 0.45. Open there,
    so ours: the surge lies in the middle of the cycle.

    Raises ValueError for a rate that is not positive and finite, height < 1, width not within (0, 1), a surge that
    alone exceeds the mean (height · width > 1), or a period that is not positive and finite.
    """

    height: float = 2.0
    width: float = 0.35
    period: float = 1200.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.rate):
            raise ValueError("a burst cycle needs a finite arrival rate")
        if not self.height >= 1:
            raise ValueError(f"height of a burst must be ≥ 1 times the mean rate, not {self.height}")
        if not 0 < self.width < 1:
            raise ValueError(f"width of a burst must be within (0, 1) of a cycle, not {self.width}")
        if not self.height * self.width <= 1:
            raise ValueError(f"height {self.height} and width {self.width} of a burst: their product exceeds 1")
        if not 0 < self.period < math.inf:
            raise ValueError(f"period of a burst cycle must be positive and finite, not {self.period} s")

    def _first(self, num_requests: int, seed: int) -> Floats:
        expected = np.cumsum(self._unit_gaps(uniforms(seed, STREAM, num_requests))) / (self.rate * self.period)
        cycle = np.floor(expected)
        begin = (1.0 - self.width) / 2.0
        before = (1.0 - self.height * self.width) / 2.0  # share of a cycle's requests that come before the surge
        within = np.interp(expected - cycle, [0.0, before, 1.0 - before, 1.0], [0.0, begin, 1.0 - begin, 1.0])
        return self.period * (cycle + within)
