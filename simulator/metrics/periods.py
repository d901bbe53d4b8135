"""The time T of a run by which rates divide, in its two readings: `span` and the arrival `window`.

The span depends on the policy (dropping shortens it), the window does not, so only the window compares
policies.
"""

from __future__ import annotations

import numpy as np

from simulator.token_log import TokenLog


def last_event(log: TokenLog) -> float:
    """Time of the last arrival, iteration, token or end of a request, or `until`, seconds; NaN if there is none."""
    times = [log.arrival, log.end[np.isfinite(log.end)]]
    times += [tokens.times for tokens in (log.measured, log.delivered) if tokens is not None]
    if log.runs is not None:
        times.append(log.runs.ends(slice(-1, None)))
    if log.until is not None:
        times.append(np.array([log.until]))
    return max((float(column.max()) for column in times if len(column)), default=float("nan"))


def span(log: TokenLog) -> float:
    """From the first arrival to the last event, seconds; NaN without requests. The paper's T (2410.14257)."""
    return last_event(log) - float(log.arrival[0]) if log.num_requests else float("nan")


def arrival_rate(log: TokenLog) -> float:
    """Measured arrival rate, requests/s: n − 1 over the time from first to last arrival; NaN if that is 0."""
    between = float(log.arrival[-1] - log.arrival[0]) if log.num_requests else 0.0
    return (log.num_requests - 1) / between if between > 0 else float("nan")


def per_second(amount: float, period: float) -> float:
    """amount/period; NaN unless the period is a positive time."""
    return amount / period if period > 0 else float("nan")
