"""How long one engine iteration takes: the protocol, and the fitted model with its closed form for decode runs."""

from __future__ import annotations

from functools import cached_property, partial
from typing import NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field


class Batch(NamedTuple):
    """What one iteration computes; every field is a count, zero where it has none of the kind."""

    prefill_tokens: int = 0
    """P: prompt tokens prefilled in this iteration."""
    prefill_context: int = 0
    """C: tokens already cached for the chunks being prefilled."""
    attention_pairs: int = 0
    """A: Σ chunk·context + chunk·(chunk + 1)/2 over the chunks, in query–key pairs."""
    num_decodes: int = 0
    """D: requests that decode, one token each."""
    kv_tokens: int = 0
    """K: sum of the context lengths of the decoding requests, the token being fed included."""
    num_requests: int = 0
    """q: requests in the batch, prefilling and decoding."""


class DecodeRun(NamedTuple):
    """Durations of the iterations of an unchanged decode batch: iteration i (from 0) takes first + i·growth."""

    first: float
    """Duration of the first iteration, seconds."""
    growth: float
    """What each further iteration takes longer than the one before it, seconds."""


_decode_run = partial(tuple.__new__, DecodeRun)
"""A `DecodeRun` of a pair, without the call of a Python function that naming its fields takes."""


class LatencyModel(Protocol):
    """Anything that knows the duration of an iteration."""

    def step_time(self, batch: Batch) -> float:
        """Duration of one iteration of `batch`, seconds, positive and finite."""
        ...


@runtime_checkable
class RunLatencyModel(LatencyModel, Protocol):
    """A latency model that is linear in the KV tokens, so that runs of decode iterations have a closed form.

    The engine leaps over such runs; with any other model it takes every iteration by itself.
    """

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        """Durations of successive decode-only iterations of `num_decodes` requests, `kv_tokens` in the first.

        `first` must equal `step_time` of that first batch; the KV tokens grow by `num_decodes` an iteration.
        """
        ...


class PiecewiseLinearLatency(BaseModel):
    """Weights are read once, then compute grows: linear layers with a ridge, attention and engine overhead.

        t = t0 + s_lo·min(n, n_ridge) + s_hi·max(n − n_ridge, 0)     n = P + D
              + k·K·(1 + m·[P > 0]) + kp·C + a·A + q0 + q1·q

    Symbols as in `Batch`. All coefficients are ≥ 0, and a step of at least one token takes > 0 s (`t0` > 0).
    Decode-only iterations are linear in K, so j of them cost j·t(K) + k·D·j(j − 1)/2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    t0: float = Field(gt=0, description="s: weight read and launch floor")
    s_lo: float = Field(ge=0, description="s/token: cost of a token below the ridge")
    s_hi: float = Field(ge=0, description="s/token: cost of a token above the ridge")
    n_ridge: float = Field(ge=0, description="tokens: ridge between memory-bound and compute-bound")
    k: float = Field(ge=0, description="s/token: reading the KV cache of the decoding requests")
    kp: float = Field(ge=0, description="s/token: re-reading earlier chunks")
    a: float = Field(ge=0, description="s/pair: prefill attention arithmetic")
    m: float = Field(default=0.0, ge=0, description="extra share of the KV cost in an iteration that also prefills")
    q0: float = Field(default=0.0, ge=0, description="s: engine overhead of an iteration")
    q1: float = Field(default=0.0, ge=0, description="s/sequence: engine overhead of a request in the batch")

    @cached_property
    def _coefficients(self) -> tuple[float, ...]:
        """All of them at once: reading the fields of a validated model one by one is most of what a step costs."""
        return self.t0, self.s_lo, self.s_hi, self.n_ridge, self.k, self.kp, self.a, 1.0 + self.m, self.q0, self.q1

    def step_time(self, batch: Batch) -> float:
        """Duration of one iteration of `batch`, seconds."""
        prefill, context, pairs, decodes, kv, requests = batch
        t0, s_lo, s_hi, n_ridge, k, kp, a, mixed, q0, q1 = self._coefficients
        tokens = prefill + decodes
        linear = s_lo * tokens if tokens <= n_ridge else s_lo * n_ridge + s_hi * (tokens - n_ridge)
        read = k * kv * mixed if prefill else k * kv
        return t0 + linear + read + kp * context + a * pairs + q0 + q1 * requests

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        """Durations of successive decode-only iterations: linear in the KV tokens, which grow by `num_decodes`."""
        t0, s_lo, s_hi, n_ridge, k, _, _, _, q0, q1 = self._coefficients
        linear = s_lo * num_decodes if num_decodes <= n_ridge else s_lo * n_ridge + s_hi * (num_decodes - n_ridge)
        return _decode_run((t0 + linear + k * kv_tokens + q0 + q1 * num_decodes, k * num_decodes))
