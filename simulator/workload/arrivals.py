"""When requests arrive: renewal processes whose n-th gap depends on the seed and on n alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from simulator.random_streams import uniforms
from simulator.workload.workload import Floats

STREAM = "arrival gap"
"""Name of the random stream from which every gap comes."""


@dataclass(frozen=True)
class Arrivals(ABC):
    """A renewal process of `rate` requests/s; infinite: all requests at time 0, as the load tools' `inf`.

    The first request comes one gap after time 0. The times at rate r are those at rate 1 divided by r, so
    that workloads of different rates are compared with common random numbers.

    Raises ValueError for a rate that is not positive.
    """

    rate: float

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"arrival rate must be positive, not {self.rate} requests/s")

    @abstractmethod
    def _unit_gaps(self, u: Floats) -> Floats:
        """Gaps with mean 1 from uniforms, by the inverse of their distribution function."""

    def arrival_times(self, *, num_requests: int | None = None, window: float | None = None, seed: int = 0) -> Floats:
        """Arrival times, (n,), seconds, non-decreasing: of so many requests, or of all within [0, window).

        Raises ValueError unless exactly one of `num_requests` (≥ 0) and `window` (seconds, ≥ 0, finite) is
        given, and for a window at an infinite rate.
        """
        if (num_requests is None) == (window is None):
            raise ValueError("give either num_requests or window, not both and not neither")
        if num_requests is not None:
            return self._first(num_requests, seed)
        assert window is not None
        return self._within(window, seed)

    def _first(self, num_requests: int, seed: int) -> Floats:
        return np.cumsum(self._unit_gaps(uniforms(seed, STREAM, num_requests))) / self.rate

    def _within(self, window: float, seed: int) -> Floats:
        if not 0 <= window < math.inf:
            raise ValueError(f"arrival window must be finite and ≥ 0 s, not {window} s")
        if math.isinf(self.rate):
            raise ValueError("an infinite arrival rate has infinitely many requests in a window")
        enough = 16 + math.ceil(1.25 * self.rate * window)
        while (times := self._first(enough, seed))[-1] < window:
            enough *= 2
        return times[: np.searchsorted(times, window)]


@dataclass(frozen=True)
class PoissonArrivals(Arrivals):
    """Independent exponential gaps."""

    def _unit_gaps(self, u: Floats) -> Floats:
        return -np.log1p(-u)


@dataclass(frozen=True)
class GammaArrivals(Arrivals):
    """Independent gamma gaps with shape 1/cv²: cv > 1 comes in bursts, cv = 1 is Poisson, cv < 1 is regular.

    Raises ValueError for a cv that is not positive and finite.
    """

    cv: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.cv < math.inf:
            raise ValueError(f"coefficient of variation must be positive and finite, not {self.cv}")

    def _unit_gaps(self, u: Floats) -> Floats:
        from scipy.special import gammaincinv

        shape = self.cv**-2
        return np.asarray(gammaincinv(shape, u), dtype=np.float64) / shape
