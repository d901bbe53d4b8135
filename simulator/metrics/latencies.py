"""Classic latencies of each request, from the times at which its tokens were delivered.

`tokens` holds the delivered token times of n requests, ragged; `arrival` is (n,), when each was submitted;
all in seconds. Every result is (n,) in seconds, NaN where it is not defined. Whatever tokens a request got
count, finished or not, unless the definition needs its end. Source: arXiv 2410.14257, §2; the load tools'
usage.
"""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.ragged import Ragged
from simulator.token_log import Floats, Ints, Status, TokenTimes


def ttft(tokens: TokenTimes, arrival: Floats) -> Floats:
    """Time to first token, t_1 − s; NaN without a token."""
    return ragged.first(*tokens) - arrival


def gaps(tokens: TokenTimes) -> Ragged:
    """Every time between tokens (TBT, ITL), t_i − t_(i−1) for i ≥ 2, ragged by request."""
    return ragged.diff(*tokens)


def tbt_max(request_gaps: Ragged) -> Floats:
    """Longest gap of each request; NaN without gaps."""
    return ragged.reduce(np.maximum, *request_gaps, empty=np.nan)


def tbt_quantile(request_gaps: Ragged, q: float) -> Floats:
    """Quantile q of the gaps of each request, linear between order statistics; NaN without gaps."""
    return ragged.quantile(*request_gaps, q=q)


def tpot(tokens: TokenTimes) -> Floats:
    """Time per output token, (t_n − t_1)/(n − 1); NaN for n ≤ 1, where the load tools say 0."""
    steps = np.diff(tokens.offsets) - 1.0
    steps[steps < 1.0] = np.nan
    return streaming(tokens) / steps


def e2e(tokens: TokenTimes, arrival: Floats, status: Ints) -> Floats:
    """End-to-end latency, t_n − s; NaN unless the request finished, with a token."""
    return np.where(status == Status.FINISHED, ragged.last(*tokens) - arrival, np.nan)


def normalised_latency(tokens: TokenTimes, arrival: Floats, status: Ints) -> Floats:
    """End-to-end latency per token, (t_n − s)/n; NaN unless the request finished, with a token."""
    counts = np.diff(tokens.offsets).astype(np.float64)
    counts[counts == 0.0] = np.nan
    return e2e(tokens, arrival, status) / counts


def streaming(tokens: TokenTimes) -> Floats:
    """Time from the first token to the last, t_n − t_1, which is the sum of the gaps; NaN without a token."""
    return ragged.last(*tokens) - ragged.first(*tokens)
