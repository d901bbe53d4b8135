"""Warm-up: a run starts empty, so its first requests meet a server that later ones do not; they can be left out.

Requests are removed by arrival, so that whoever is slow is not removed for that, and the time T of the run starts
later. What the replica did after that time is still that of all requests: the removed ones were there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.metrics.selection import of_requests, user_of_requests
from simulator.metrics.user import User
from simulator.token_log import Floats, Ints, TokenLog

_BATCH = 5
_LEAST_LEFT = 5
"""Batches: fewer can look alike by chance, and the standard error of one is 0."""


def mser5(series: Sequence[float] | Floats | Ints) -> int:
    """How many observations at the start of `series` are warm-up, by MSER-5: a multiple of 5, at most half of them.

    Of the means y of batches of 5 (what is left over at the end is not looked at), the first d are cut for which
    Σ_(i > d) (y_i − ȳ_d)² / (k − d)² is least: the squared standard error of the mean of what is left. The smallest
    such d wins. A result at the half says that the run is too short, or does not settle.

    Source: White, An effective truncation heuristic for bias reduction in simulation output, Simulation 69 (1997);
    batches of 5: White, Cobb & Spratt, WSC 2000; Franklin & White, Stationarity tests and MSER-5, WSC 2008.
    Deviation: at least 5 batches are left, so fewer than 30 observations are never cut.
    """
    num_batches = len(series) // _BATCH
    means = np.asarray(series, dtype=np.float64)[: num_batches * _BATCH].reshape(-1, _BATCH).mean(axis=1)
    most = min(num_batches // 2, num_batches - _LEAST_LEFT)
    if most < 1:
        return 0
    return _BATCH * int(np.argmin(_squared_errors(means)[: most + 1]))


def _squared_errors(values: Floats) -> Floats:
    """Σ_(i ≥ d) (y_i − ȳ_d)² / m² of the last m = n − d values for each d, (n,), by Welford's update from the end."""
    errors = np.empty(len(values))
    mean = squares = 0.0
    for m, value in enumerate(values[::-1].tolist(), start=1):
        delta = value - mean
        mean += delta / m
        squares += delta * (value - mean)
        errors[-m] = squares / m**2
    return errors


def found_by_arrivals(log: TokenLog) -> Ints:
    """How many requests each one finds in the system as it arrives, (n,); who ends at that moment is still there.

    Requests that never end stay. Equal arrivals find those before them in the log.
    """
    ends = np.sort(log.end[np.isfinite(log.end)])
    return np.arange(log.num_requests) - np.searchsorted(ends, log.arrival, side="left")


def warmup_by_mser5(log: TokenLog) -> float:
    """When the warm-up of the run ends, seconds: the arrival of the first request that MSER-5 keeps; 0 if all.

    The series is the number that each request finds in the system. White leaves the series open: this one is the
    state of the server itself, starts at 0 in every run, and lacks the noise that latencies have from the lengths
    of the requests.
    """
    first = mser5(found_by_arrivals(log))
    return float(log.arrival[first]) if first else 0.0


def num_before(arrival: Floats, since: float | None) -> int:
    """How many requests arrive before `since` seconds, 0 for None; arrival is (n,), non-decreasing."""
    return 0 if since is None else int(np.searchsorted(arrival, since, side="left"))


def without_warmup(log: TokenLog, since: float | None) -> TokenLog:
    """The log of the requests that arrive from `since` seconds on, renumbered from 0; the log itself if all do.

    T begins with the first arrival that is left, in both its readings: span and arrival window. The iterations are
    those of the whole run, and what came before T counts for nothing; the queue is that of the requests that are
    left (`simulator.metrics.replica.mean_queue` of the whole log can start later instead). None keeps all.
    """
    first = num_before(log.arrival, since)
    if not first:
        return log
    kept = of_requests(log, np.arange(first, log.num_requests))
    later = float(kept.arrival[0] - log.arrival[0]) if kept.num_requests else log.window
    return replace(kept, window=log.window - later)


def user_without_warmup(user: User, log: TokenLog, since: float | None) -> User:
    """The user of `log`, as the user of `without_warmup(log, since)`."""
    first = num_before(log.arrival, since)
    return user_of_requests(user, log, np.arange(first, log.num_requests)) if first else user
