"""Who reads the answers: how fast, what waiting costs them, and what they expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.metrics.andes_qoe import QoE, to_tuple
from simulator.metrics.reader_mix import MixName, reading_speeds
from simulator.token_log import Floats, Ints

Origin = Literal["submission", "first_token"]
Abandonment = Literal["patience", "ignore", "idle_until_drop"]
Speed = Annotated[float, Field(gt=0)]


class User(BaseModel):
    """Who reads the answers, and what waiting costs them; smooth goodput's paper (v2) unless said.

    Open in arXiv 2410.14257, so ours: f (it only "maps idle latency to the lost share of the benefit"), the
    clamp of the idle latency at 0, and `abandonment`, how long the user of a dropped or failed request waits
    for its next token: patience: until s + patience, so that dropping never beats finishing within it (f in
    seconds); idle_until_drop: until the drop, which an early drop keeps short; ignore: not at all, as printed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    speed: Annotated[Speed | tuple[Speed, ...] | MixName, BeforeValidator(to_tuple)] = Field(
        default=5.0, description="tokens/s taken in: common, one per request (any 1-d array), or drawn from a mix"
    )
    seed: int = Field(default=0, ge=0, description="of the draws from a mix of readers")
    alpha: float = Field(default=2.5, ge=0, description="price of waiting: tokens/s (f seconds), share (f share)")
    origin: Origin = Field(default="submission", description="what d_i = i/speed counts from: v2, or v1 first_token")
    f: Literal["seconds", "share"] | Callable[[Floats, Ints], Floats] = Field(
        default="seconds", description="f(l) = l, or n·min(1, l/l0), or any function of (l, n), both (n,)"
    )
    l0: float | None = Field(default=None, gt=0, description="s: idle latency at which f share loses everything")
    abandonment: Abandonment = "patience"
    patience: float = Field(default=60.0, ge=0, description="s: how long after submission a user gives up")
    qoe: QoE = Field(default=QoE(), description="what the user expected, by which Andes' QoE judges")

    @model_validator(mode="after")
    def _share_has_scale(self) -> Self:
        if (self.f == "share") != (self.l0 is not None):
            raise ValueError(f"l0 is for f 'share', which needs it: f is {self.f!r}, l0 is {self.l0}")
        return self

    def speeds(self, num_requests: int) -> Floats:
        """Reading speed of each request, tokens/s, (n,). Raises ValueError if there is not one for each."""
        if isinstance(self.speed, str):
            return reading_speeds(self.speed, num_requests, self.seed)
        if not isinstance(self.speed, tuple):
            return np.full(num_requests, self.speed)
        if len(self.speed) != num_requests:
            raise ValueError(f"the user has {len(self.speed)} reading speeds, the log {num_requests} requests")
        return np.array(self.speed)
