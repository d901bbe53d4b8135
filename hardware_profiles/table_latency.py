"""The accurate latency model: the time of the linear layers read from knots in the number of tokens."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.latency import Batch, DecodeRun


class TableLatency(BaseModel):
    """Linear between knots in n, with the attention terms of the piecewise linear model.

        t = f(n) + k·K·(1 + m·[P > 0]) + kp·C + a·A + q0 + q1·q      n = P + D

    f runs through `seconds` at `tokens`, is constant before the first knot and keeps the last slope behind the
    last. Symbols as in `simulator.latency.Batch`; the steps of real kernels (tiles of matrix products) that two
    slopes smooth away are followed as far as the knots are dense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tokens: tuple[float, ...] = Field(min_length=2, description="knots, strictly increasing")
    seconds: tuple[float, ...] = Field(min_length=2, description="time of the linear layers at the knots")
    k: float = Field(ge=0, description="s/token")
    kp: float = Field(ge=0, description="s/token")
    a: float = Field(ge=0, description="s/pair")
    m: float = Field(default=0.0, ge=0)
    q0: float = Field(default=0.0, ge=0, description="s")
    q1: float = Field(default=0.0, ge=0, description="s/sequence")

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.tokens) != len(self.seconds):
            raise ValueError(f"{len(self.tokens)} knots, but {len(self.seconds)} times")
        if self.tokens[0] < 0 or any(left >= right for left, right in pairwise(self.tokens)):
            raise ValueError(f"knots are not strictly increasing from 0 on: {self.tokens}")
        if self.seconds[0] <= 0 or any(left > right for left, right in pairwise(self.seconds)):
            raise ValueError(f"times at the knots are not positive and nowhere falling: {self.seconds}")
        return self

    def step_time(self, batch: Batch) -> float:
        """Duration of one iteration of `batch`, seconds."""
        read = self.k * batch.kv_tokens * (1.0 + self.m if batch.prefill_tokens else 1.0)
        attention = read + self.kp * batch.prefill_context + self.a * batch.attention_pairs
        linear = self._linear_layers(batch.prefill_tokens + batch.num_decodes)
        return linear + attention + self.q0 + self.q1 * batch.num_requests

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        """Durations of successive decode-only iterations: linear in the KV tokens, which grow by `num_decodes`."""
        first = Batch(num_decodes=num_decodes, kv_tokens=kv_tokens, num_requests=num_decodes)
        return DecodeRun(self.step_time(first), self.k * num_decodes)

    def _linear_layers(self, tokens: float) -> float:
        x, y = self.tokens, self.seconds
        if tokens <= x[0]:
            return y[0]
        i = min(bisect_right(x, tokens), len(x) - 1)
        return y[i - 1] + (y[i] - y[i - 1]) * (tokens - x[i - 1]) / (x[i] - x[i - 1])
