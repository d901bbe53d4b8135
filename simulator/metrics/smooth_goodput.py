"""Smooth goodput (arXiv 2410.14257): tokens, less a price for the time that users sat waiting for them."""

from __future__ import annotations

from math import fsum

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.deadlines import deadline, worst_lateness
from simulator.metrics.periods import per_second
from simulator.metrics.user import Origin, User
from simulator.token_log import Floats, Ints, Status, TokenTimes


def waits_until(user: User, arrival: Floats, status: Ints, end: Floats, log_end: float) -> Floats:
    """Until when each user goes on waiting for a token that never comes, seconds, (n,); −inf if not at all.

    A finished request keeps nobody waiting. A failed one, which its user cannot tell from a dropped one, is
    treated as dropped. An unfinished one waits until the log's end, the least that can be said of it (not
    with `ignore`).
    """
    until = np.full(len(arrival), -np.inf)
    if user.abandonment == "ignore":
        return until
    gone = (status == Status.DROPPED) | (status == Status.FAILED)
    given_up = arrival + user.patience if user.abandonment == "patience" else np.nan_to_num(end, nan=-np.inf)
    until[gone] = given_up[gone]
    until[status == Status.UNFINISHED] = log_end
    return until


def user_idle_latency(
    tokens: TokenTimes,
    arrival: Floats,
    speed: Floats | float,
    origin: Origin = "submission",
    until: Floats | None = None,
) -> Floats:
    """l = max(0, max_i (t_i − d_i)) of each request, seconds, (n,); with `until`, also until − d_(n+1).

    speed: tokens/s, common or (n,). until: as of `waits_until`. A request without tokens counts from its
    submission whatever the origin, and is 0 if nobody waits for it. The clamp at 0 is ours.
    """
    start = arrival
    if origin == "first_token":
        first = ragged.first(*tokens)
        start = np.where(np.isnan(first), arrival, first)
    idle = np.fmax(worst_lateness(tokens, start, speed), 0.0)
    if until is None:
        return idle
    return np.maximum(idle, until - deadline(start, np.diff(tokens.offsets) + 1, speed))


def benefit(idle: Floats, num_tokens: Ints, user: User) -> Floats:
    """n − α·f(l) of each request, tokens, (n,). Raises ValueError unless f gives (n,) finite numbers."""
    lost = np.asarray(_lost(idle, num_tokens, user), dtype=np.float64)
    if lost.shape != idle.shape:
        raise ValueError(f"f gave an array of shape {lost.shape}, not {idle.shape}")
    if not np.isfinite(lost).all():
        i = int(np.flatnonzero(~np.isfinite(lost))[0])
        raise ValueError(f"f gave {lost[i]} for an idle latency of {idle[i]} s and {num_tokens[i]} tokens")
    return num_tokens - user.alpha * lost


def smooth_goodput(benefits: Floats, period: float) -> float:
    """Σ benefit / T over all requests, tokens/s, T being the span or the window; NaN unless T is positive."""
    return per_second(fsum(benefits), period)


def _lost(idle: Floats, num_tokens: Ints, user: User) -> Floats:
    if user.f == "seconds":
        return idle
    if user.f == "share":
        assert user.l0 is not None
        return np.minimum(1.0, idle / user.l0) * num_tokens
    return user.f(idle, num_tokens)
