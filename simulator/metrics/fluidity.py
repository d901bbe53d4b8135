"""Fluidity index and fluid token rate (Etalon, arXiv 2407.07000): the share of token deadlines that were met.

The first token is due `ttft` after submission and each further one `tbt` after the deadline before it, so
tokens that come early leave slack; after a miss, deadlines go on from the late token. A miss is therefore a
token that is further behind the schedule ttft + (i − 1)·tbt than any before it, and the running maximum of
that lateness holds all there is to know.

Lateness is rounded to the nanosecond and counted in integers (held in floats), so that a token that comes on
its deadline meets it whatever the rounding of sums.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.deadlines import since_submission
from simulator.token_log import Floats, Status, TokenLog, TokenTimes

TTFT = 0.1
"""Default deadline of the first token, seconds (Etalon)."""
TBT = 0.05
"""Default time from one deadline to the next, seconds (Etalon)."""
FLUID = 0.9
"""Fluidity from which a request counts as fluid (Etalon: a miss rate of 0.1)."""
SHORTEST_TBT = 1e-9
"""Lateness is rounded to this, seconds."""
_LONGEST = 9e6
"""Longer deadlines than this, seconds, are taken for this: 104 days, whose nanoseconds a float counts exactly."""
_NS = 1e9


def fluidity_index(elapsed: TokenTimes, ttft: float = TTFT, tbt: float = TBT) -> Floats:
    """Share of the deadlines that were met, in [0, 1], (n,); NaN without a token.

    elapsed: token times, seconds since submission. A token late by x misses 1 + floor(x/tbt) deadlines, x
    being measured from where the deadlines last restarted (the authors' rule, for first and later tokens
    alike). Raises ValueError unless ttft ≥ 0 and tbt is at least a nanosecond.
    """
    if not ttft >= 0:
        raise ValueError(f"the deadline of the first token must be ≥ 0 s, not {ttft}")
    if not tbt >= SHORTEST_TBT:
        raise ValueError(f"the time between deadlines must be at least {SHORTEST_TBT} s, not {tbt}")
    return _index(elapsed, ttft, np.full(len(elapsed.offsets) - 1, min(tbt, _LONGEST) * _NS))


def smallest_tbt(elapsed: TokenTimes, ttft: float = TTFT, fluid: float = FLUID) -> Floats:
    """The shortest time between deadlines at which each request has a fluidity ≥ `fluid`, seconds, (n,).

    To the nanosecond, which is the least there is; inf if there is none (a late first token of a short
    answer), or no token. Found by bisection, which is exact because a longer time between deadlines never
    lowers the fluidity: it turns no token into a miss, and lengthens no miss.
    """
    late = np.fmax(ragged.first(*elapsed) - ttft, 0.0)
    longest_gap = ragged.reduce(np.maximum, *ragged.diff(*elapsed), empty=0.0)
    longest = np.minimum(np.maximum(late, longest_gap), _LONGEST)
    high = np.ceil(longest * _NS) + 1.0  # beyond, only the first token misses, and once
    possible = _index(elapsed, ttft, high) >= fluid
    low = np.where(possible, 0.0, high)
    while (high - low > 1.0).any():
        middle = np.maximum(np.floor((low + high) / 2.0), 1.0)
        enough = _index(elapsed, ttft, middle) >= fluid
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle)
    return np.where(possible, high / _NS, np.inf)


def fluid_token_rate(log: TokenLog, ttft: float = TTFT, fluid: float = FLUID, share: float = 0.99) -> float:
    """Highest token rate, tokens/s, at which `share` of all requests sent are fluid.

    That is 1 over the smallest tbt at which so many have a fluidity ≥ `fluid`; 0 if there is none, NaN without
    requests. A request that did not finish is fluid at no rate (ours). A search: some forty passes over the
    tokens. Raises ValueError unless share is in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], not {share}")
    parts = []
    for first, last in log.chunks():
        elapsed = since_submission(log.token_times(first, last), log.arrival[first:last])
        finished = log.status[first:last] == Status.FINISHED
        parts.append(np.where(finished, smallest_tbt(elapsed, ttft, fluid), np.inf))
    if not parts:
        return float("nan")
    needed = ceil(round(share * log.num_requests, 6))
    return float(1.0 / np.sort(np.concatenate(parts))[max(needed, 1) - 1])


def _index(elapsed: TokenTimes, ttft: float, tbt_ns: Floats) -> Floats:
    """Deadlines met over deadlines, (n,); tbt_ns: nanoseconds, (n,)."""
    offsets = elapsed.offsets
    counts = np.diff(offsets)
    further_ns = _further_behind(elapsed, min(ttft, _LONGEST), tbt_ns / _NS)
    miss = np.flatnonzero(further_ns)
    request = np.searchsorted(offsets, miss, side="right") - 1
    misses = np.bincount(request, minlength=len(counts))
    skips = np.floor((further_ns[miss] + 0.5) / tbt_ns[request])  # within half a nanosecond of a multiple is at it
    skipped = np.bincount(request, skips, minlength=len(counts))
    met = np.where(counts > 0, counts - misses, np.nan)
    return met / np.where(counts > 0, counts + skipped, 1.0)


def _further_behind(elapsed: TokenTimes, ttft: float, tbt: Floats) -> Floats:
    """How much later each token is than the latest before it, whole nanoseconds; 0 if it met its deadline."""
    offsets = elapsed.offsets
    counts = np.diff(offsets)
    late = elapsed.times - ttft - (ragged.positions(offsets) - 1) * np.repeat(tbt, counts)
    np.maximum(late, 0.0, out=late)
    np.rint(np.multiply(late, _NS, out=late), out=late)
    behind = ragged.running_max(late, offsets)
    further = np.diff(behind, prepend=0.0)
    begins = offsets[:-1][counts > 0]
    further[begins] = behind[begins]
    return further
