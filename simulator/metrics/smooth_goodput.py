"""Smooth goodput (arXiv 2410.14257): tokens, less a price for the time that users sat waiting for them."""

from __future__ import annotations

from collections.abc import Callable
from math import fsum
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.metrics import ragged
from simulator.metrics.deadlines import deadline, worst_lateness
from simulator.metrics.periods import per_second
from simulator.token_log import Floats, Ints, Status, TokenTimes

Origin = Literal["submission", "first_token"]
Abandonment = Literal["patience", "ignore", "idle_until_drop"]
Speed = Annotated[float, Field(gt=0)]


def _plain(value: Any) -> Any:
    return tuple(value.tolist()) if isinstance(value, np.ndarray) and value.ndim == 1 else value


class User(BaseModel):
    """Who reads the answers, and what waiting costs them; the paper's (v2) unless said, except abandonment.

    Open in the paper, so ours: f (it only "maps idle latency to the lost share of the benefit"), the clamp of
    the idle latency at 0, and `abandonment`, how long the user of a dropped or failed request waits for its
    next token: patience: until s + patience, so that dropping never beats finishing within it (f in seconds);
    idle_until_drop: until the drop, which an early drop keeps short; ignore: not at all, as printed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    speed: Annotated[Speed | tuple[Speed, ...], BeforeValidator(_plain)] = Field(
        default=5.0, description="tokens/s taken in: common, or one per request (any 1-d array)"
    )
    alpha: float = Field(default=2.5, ge=0, description="price of waiting: tokens/s (f seconds), share (f share)")
    origin: Origin = Field(default="submission", description="what d_i = i/speed counts from: v2, or v1 first_token")
    f: Literal["seconds", "share"] | Callable[[Floats, Ints], Floats] = Field(
        default="seconds", description="f(l) = l, or n·min(1, l/l0), or any function of (l, n), both (n,)"
    )
    l0: float | None = Field(default=None, gt=0, description="s: idle latency at which f share loses everything")
    abandonment: Abandonment = "patience"
    patience: float = Field(default=60.0, ge=0, description="s: how long after submission a user gives up")

    @model_validator(mode="after")
    def _share_has_scale(self) -> Self:
        if (self.f == "share") != (self.l0 is not None):
            raise ValueError(f"l0 is for f 'share', which needs it: f is {self.f!r}, l0 is {self.l0}")
        return self

    def speeds(self, num_requests: int) -> Floats:
        """Reading speed of each request, tokens/s, (n,). Raises ValueError if there is not one for each."""
        if not isinstance(self.speed, tuple):
            return np.full(num_requests, self.speed)
        if len(self.speed) != num_requests:
            raise ValueError(f"the user has {len(self.speed)} reading speeds, the log {num_requests} requests")
        return np.array(self.speed)


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
