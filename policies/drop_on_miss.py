"""Dropping requests whose promise cannot be kept any more, around any other policy."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from policies.deadlines import Bounds, DeadlinePolicy
from policies.gap_misses import GapWatch
from policies.misses import DeadlineWatch, Variant, Watch
from policies.promise import PromiseKeeper
from policies.registry import make_policy
from simulator.policy import (
    ALL,
    NONE,
    OraclePolicy,
    PolicyEvent,
    ReplicaView,
    SchedulerPolicy,
    StepPlan,
    changes_more_than_decodes,
)
from simulator.request import RequestState


class DropOnMiss(DeadlinePolicy, PromiseKeeper):
    """A request that can no longer meet its bound is dropped at once, its KV blocks freed; `inner` plans for the rest.

    on: ttft: first token by s + ttft. tbt: each token within tbt of the one before. tpot: token i by
    t_1 + (i − 1)·tpot; a long answer might still make up for that, but nobody knows that it is long. deadlines: token
    i by s + i/speed, the reader's own speed before that of the SLO (arXiv 2410.14257).
    variant: already_missed: the deadline is reached without the token, or the token was late. will_miss: or the next
    token cannot be in time even if the engine does nothing else. before_first_token_only: as already_missed, and a
    request with a token is never dropped, which is admission control.

    The bound is the policy's own if given, else the request's; ValueError for a request that has neither. A drop
    happens at the iteration boundary at which it is seen, which is the first at which it is true; `inner` is shown
    the replica as it is after it.

    Source: the second anomaly of arXiv 2410.14257 (dropping midway raises goodput); rules in detail are ours.
    """

    name = "drop_on_miss"

    inner: str | SchedulerPolicy = Field(
        default="fcfs", description="a policy, or its name and parameters, as in chunked_prefill/token_budget=512"
    )
    on: Literal["ttft", "tbt", "tpot", "deadlines"] = Field(default="ttft", description="the bound that is watched")
    variant: Variant = Field(default="already_missed", description="when a bound counts as missed")

    _inner: SchedulerPolicy = PrivateAttr()
    _watch: Watch = PrivateAttr()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.variant == "before_first_token_only" and self.on in ("tbt", "tpot"):
            raise ValueError(f"{self.on} binds no first token, so before_first_token_only would drop nobody")
        for bound in ("ttft", "tbt", "tpot", "speed"):
            if getattr(self, bound) is not None and bound != self._bound:
                raise ValueError(f"{bound} is given, but the bound that is watched is {self._bound}")
        return self

    def model_post_init(self, _: Any) -> None:
        """Make the inner policy and set the watch."""
        inner = self.inner
        self._inner = make_policy(inner.replace("/", ":")) if isinstance(inner, str) else inner
        if isinstance(self._inner, OraclePolicy):
            raise ValueError(f"{self._inner.name} needs the output lengths, which {self.name} is not told")
        self._watch = GapWatch(self.variant) if self.on == "tbt" else DeadlineWatch(self.variant)

    @property
    def _bound(self) -> str:
        return "speed" if self.on == "deadlines" else self.on

    def bounds(self, request: RequestState) -> Bounds:
        """The bound that is watched, and no other."""
        value = getattr(self, self._bound)
        if value is None and self.on == "deadlines" and request.speed == request.speed:
            value = request.speed
        if value is None and request.slo is not None:
            value = getattr(request.slo, self._bound)
        if value is None:
            raise ValueError(
                f"{self.name}: request {request.id} has no bound on {self._bound}; give its class an SLO with one, "
                f"or the policy one for all, such as {self.name}:on={self.on}:{self._bound}=1"
            )
        return Bounds(inf, inf, inf, inf, 0.0)._replace(**{self._bound: value})

    def decide(self, view: ReplicaView) -> StepPlan:
        """Drop who missed, and plan as `inner` does without them."""
        missed = self._watch.missed(view)
        if missed:
            return self._without(missed, view)
        plan = self._inner.plan(view)
        if changes_more_than_decodes(plan):
            return plan
        at, after = self._watch.again(view, plan)
        if at == inf and after is None:
            return plan
        replan_at, replan_after = plan.replan_at, plan.replan_after
        if at < inf:
            replan_at = at if replan_at is None else min(at, replan_at)
        if after is not None:
            replan_after = after if replan_after is None else min(after, replan_after)
        return StepPlan(decode=plan.decode, replan_at=replan_at, replan_after=replan_after)

    def _without(self, missed: list[int], view: ReplicaView) -> StepPlan:
        rest = view.without(missed)
        plan = self._inner.plan(rest) if rest.waiting or rest.running else StepPlan(decode=NONE)
        decode = plan.decode if plan.decode is ALL else tuple(i for i in plan.decode if i not in missed)
        reason = f"{'will miss' if self.variant == 'will_miss' else 'missed'} {self._bound}"
        return plan._replace(decode=decode, drop={**plan.drop, **dict.fromkeys(missed, reason)})

    def note(self, event: PolicyEvent) -> None:
        """Pass it on, and watch who comes, goes and gets tokens."""
        self._inner.on_event(event)
        request, plan = event.request, event.plan
        if plan is not None:
            self._watch.proceed(event, plan)
        elif request is not None and event.kind == "arrival":
            self._watch.arrive(request, self.bounds(request))
        elif request is not None:
            self._watch.leave(request)
