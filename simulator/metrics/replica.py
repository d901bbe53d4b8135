"""What the replica did: how busy it was, who waited, how full its cache was, and whether the backlog grew.

A measured run does not record any of it, so every figure is NaN there (None for `is_unstable`).
"""

from __future__ import annotations

from math import fsum

import numpy as np

from simulator.metrics.periods import last_event, per_second, span
from simulator.token_log import EventKind, Floats, TokenLog

_NUM_BATCHES = 20
_NAN = float("nan")


def utilisation(log: TokenLog) -> float:
    """Share of the span in which an iteration ran, in [0, 1]."""
    if log.runs is None or not log.num_requests:
        return _NAN
    busy = log.runs.ends() - np.maximum(log.runs.start, log.arrival[0])
    return per_second(fsum(busy[busy > 0]), span(log))


def mean_queue(log: TokenLog, start: float | None = None) -> float:
    """Time average of the number of requests waiting, from `start` seconds (the first arrival) to the last event."""
    if log.events is None or not log.num_requests:
        return _NAN
    start, end = float(log.arrival[0]) if start is None else start, last_event(log)
    return float(_mean_waiting(log, np.array([start, end]))[0]) if end > start else _NAN


def peak_kv(log: TokenLog) -> float:
    """Largest share of the KV blocks that was held in the span, in [0, 1]; NaN if the capacity is not known."""
    if log.runs is None or not log.total_blocks:
        return _NAN
    in_span = log.runs.ends() > log.arrival[0] if log.num_requests else slice(0)
    held = np.maximum(log.runs.kv_blocks, log.runs.kv_blocks_end)[in_span]
    return float(held.max(initial=0)) / log.total_blocks


def preemptions(log: TokenLog) -> Floats:
    """How often each request was preempted, (n,)."""
    if log.events is None:
        return np.full(log.num_requests, np.nan)
    preempted = (log.events.kind == EventKind.PREEMPT_RECOMPUTE) | (log.events.kind == EventKind.PREEMPT_SWAP)
    return np.bincount(log.events.request[preempted], minlength=log.num_requests).astype(np.float64)


def scheduling_delay(log: TokenLog) -> Floats:
    """From submission to admission, seconds, (n,); NaN if never admitted."""
    delay = np.full(log.num_requests, np.nan)
    if log.events is not None:
        admitted = log.events.kind == EventKind.ADMIT
        request = log.events.request[admitted]
        delay[request] = log.events.time[admitted] - log.arrival[request]
    return delay


def is_unstable(log: TokenLog) -> bool | None:
    """Whether the backlog grew with the run, so that every figure depends on the run's length.

    So if the slope of the number waiting over the last half of the arrival window (which ends at the last
    arrival) is positive at 95 %, one-sided, and the drain after it takes more than 10 % of the window. The
    queue at one moment says much about the next, so the slope is that of the means of 20 equal stretches of
    time.
    """
    if log.events is None:
        return None
    if not log.num_requests or not log.window > 0:
        return False
    close = float(log.arrival[-1])
    if last_event(log) - close <= 0.1 * log.window:
        return False
    means = _mean_waiting(log, np.linspace(close - 0.5 * log.window, close, _NUM_BATCHES + 1))
    return _slope_is_positive(means)


def _mean_waiting(log: TokenLog, edges: Floats) -> Floats:
    """Time average of the number waiting between successive edges, seconds, (len(edges) − 1,)."""
    times, counts = log.waiting_over_time()
    times = np.append(times, last_event(log))
    waited = np.diff(times)
    waited *= counts
    integral = np.zeros(len(times))
    np.cumsum(waited, out=integral[1:])
    return np.diff(np.interp(edges, times, integral)) / np.diff(edges)


def _slope_is_positive(y: Floats) -> bool:
    """Whether the least-squares slope of y is above 0 at 95 %, one-sided, by Student's t."""
    from scipy.special import stdtrit

    x = np.arange(len(y)) - (len(y) - 1) / 2
    slope = float(x @ y) / float(x @ x)
    residual = y - y.mean() - slope * x
    error = np.sqrt(float(residual @ residual) / (len(y) - 2) / float(x @ x))
    return slope > float(stdtrit(len(y) - 2, 0.95)) * float(error)
