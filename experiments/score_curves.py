"""Smooth goodput of a log against the price of waiting and against the reading speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.score_values import ScoredLog, period
from simulator.metrics import User
from simulator.metrics.periods import last_event
from simulator.metrics.smooth_goodput import benefit, smooth_goodput, user_idle_latency, waits_until
from simulator.token_log import Floats, TokenLog

if TYPE_CHECKING:
    import pandas as pd

SPEEDS: Floats = np.geomspace(1.0, 100.0, 25)
"""Reading speeds of the curve, tokens/s: from dictation to skimming."""
_NUM_ALPHAS = 25


def alphas(user: User) -> Floats:
    """Prices of waiting of the curve: 0 to four times the user's."""
    return np.linspace(0.0, 4.0 * user.alpha if user.alpha > 0 else 10.0, _NUM_ALPHAS)


def score_curves(table: Sequence[ScoredLog], user: User) -> pd.DataFrame:
    """A row for each log whose token times are known and each point: name, against (alpha, speed), x, and the score.

    x: alpha, or tokens/s, at which `smooth_goodput_tokens_per_s` is per second of the log's T; all else is the
    user's.
    """
    import pandas as pd

    parts: list[pd.DataFrame] = []
    for log in table:
        if log.has_token_times:
            for against, x, score in (
                ("alpha", alphas(user), _by_alpha(log, user)),
                ("speed", SPEEDS, _by_speed(log, user)),
            ):
                points = {"name": log.name, "against": against, "x": x, "smooth_goodput_tokens_per_s": score}
                parts.append(pd.DataFrame(points))
    none = pd.DataFrame(columns=["name", "against", "x", "smooth_goodput_tokens_per_s"])
    return pd.concat(parts, ignore_index=True) if parts else none


def idle_latencies(log: TokenLog, user: User) -> Floats:
    """User idle latency of each request, seconds, (n,), without the rest of the metrics."""
    speed = user.speeds(log.num_requests)
    until = waits_until(user, log.arrival, log.status, log.end, last_event(log))
    parts = [
        user_idle_latency(log.token_times(a, b), log.arrival[a:b], speed[a:b], user.origin, until[a:b])
        for a, b in log.chunks()
    ]
    return np.concatenate(parts)


def _by_alpha(scored: ScoredLog, user: User) -> list[float]:
    log = scored.bench.log
    idle, counts = idle_latencies(log, user), log.num_tokens()
    users = [user.model_copy(update={"alpha": float(alpha)}) for alpha in alphas(user)]
    return [smooth_goodput(benefit(idle, counts, other), period(scored.bench)) for other in users]


def _by_speed(scored: ScoredLog, user: User) -> list[float]:
    """The score if everybody read at the same speed."""
    log = scored.bench.log
    users = [user.model_copy(update={"speed": float(speed)}) for speed in SPEEDS]
    benefits = (benefit(idle_latencies(log, other), log.num_tokens(), other) for other in users)
    return [smooth_goodput(values, period(scored.bench)) for values in benefits]
