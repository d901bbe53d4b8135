"""Token deadlines as a policy sees them: what a user was promised, when the next token is due, what it takes."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from pydantic import Field

from simulator.latency import Batch
from simulator.metrics.slo import SLO
from simulator.policy import ReplicaView, SchedulerPolicy
from simulator.request import RequestState


class Bounds(NamedTuple):
    """The bounds of an SLO, infinite where there is none; seconds, and tokens/s (0: no speed)."""

    ttft: float
    tbt: float
    tpot: float
    e2e: float
    speed: float


class DeadlinePolicy(SchedulerPolicy):
    """The base of policies that look at deadlines: the promises are the requests' own unless it is given bounds."""

    ttft: float | None = Field(default=None, gt=0, description="s: first token; instead of the requests' own SLOs")
    tbt: float | None = Field(default=None, gt=0, description="s: gap between tokens; likewise")
    tpot: float | None = Field(default=None, gt=0, description="s: mean gap between tokens; likewise")
    speed: float | None = Field(default=None, gt=0, description="tokens/s: token i is due i/speed after submission")

    def bounds(self, request: RequestState) -> Bounds:
        """The policy's own bounds if it has any, else those of the request's SLO.

        Where that bounds the speed, the request's own speed, if it has one, stands in its place; a request with a speed
        and no SLO is due by its speed. Raises ValueError for one that was promised nothing.
        """
        ttft, tbt, tpot, speed, e2e = self.ttft, self.tbt, self.tpot, self.speed, None
        if ttft is None and tbt is None and tpot is None and speed is None:
            slo = request.slo
            if request.speed == request.speed:
                slo = _with_speed(slo, request.speed)
            if slo is None:
                raise ValueError(
                    f"{self.name}: request {request.id} was promised nothing; give the workload SLOs or speeds, "
                    f"or the policy bounds of its own, such as {self.name}:ttft=1"
                )
            ttft, tbt, tpot, speed, e2e = slo.ttft, slo.tbt, slo.tpot, slo.speed, slo.e2e
        return Bounds(_or_inf(ttft), _or_inf(tbt), _or_inf(tpot), _or_inf(e2e), speed or 0.0)


def _or_inf(bound: float | None) -> float:
    return inf if bound is None else bound


def _with_speed(slo: SLO | None, speed: float) -> SLO:
    if slo is None:
        return SLO(speed=speed)
    return slo if slo.speed is None else slo.model_copy(update={"speed": speed})


def next_deadline(request: RequestState, bounds: Bounds) -> float:
    """When the next token of `request` is due, seconds: the earliest by any bound, with n tokens there.

    ttft: d_1 = s + ttft. tbt: d_(n+1) = t_n + tbt. tpot: d_(n+1) = t_1 + n·tpot. speed: d_(n+1) = s + (n + 1)/speed.
    e2e: s + e2e for all tokens. Source: arXiv 2410.14257, eq. 1–4; which of a request's tokens is the last is not
    known yet, so tpot and e2e bind each as if it were.
    """
    ttft, tbt, tpot, e2e, speed = bounds
    arrival, n = request.arrival, request.num_generated_tokens
    due = arrival + e2e
    if n == 0:
        due = min(due, arrival + ttft)
    else:
        if tbt < inf:
            due = min(due, request.last_token_time + tbt)
        if tpot < inf:
            due = min(due, request.first_token_time + n * tpot)
    return min(due, arrival + (n + 1) / speed) if speed else due


def prefill_time(view: ReplicaView, tokens: int, cached: int = 0) -> float:
    """Estimated duration of an iteration that prefills these tokens behind `cached` ones and does nothing else."""
    return view.predict_step_time(Batch(tokens, cached, tokens * cached + tokens * (tokens + 1) // 2, 0, 0, 1))


def least_time_to_token(view: ReplicaView, request: RequestState) -> float:
    """What the next token of `request` takes at least, seconds: its prefill in one piece, or a decode, alone.

    A decode of a swapped request waits for its cache to come back, if that is less than to prefill it again.
    """
    if request.decoding or (request.id in view.running and request.id not in view.prefilling):
        return view.predict_step_time(Batch(0, 0, 0, 1, request.num_computed_tokens + 1, 1))
    prefill = prefill_time(view, request.num_tokens_to_prefill, request.num_computed_tokens)
    if not (swapped := request.swapped_tokens):
        return prefill
    decode = view.predict_step_time(Batch(0, 0, 0, 1, swapped + 1, 1))
    return min(prefill, swapped * view.swap.seconds_per_token + decode)
