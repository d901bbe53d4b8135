"""Who has missed a deadline, or will, and when to look again: what `drop_on_miss` asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf, nextafter
from typing import Literal, NamedTuple

from policies.deadlines import Bounds, least_time_to_token, next_deadline, prefill_time
from policies.ordering import SortedIds
from simulator.latency import Batch
from simulator.policy import PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState

Variant = Literal["already_missed", "will_miss", "before_first_token_only"]


class Again(NamedTuple):
    """When there may be new misses: at a time, seconds, or after some iterations, whichever comes first."""

    at: float = inf
    after: int | None = None


class Watch(ABC):
    """Keeps an eye on the deadlines of a replica's requests."""

    @abstractmethod
    def missed(self, view: ReplicaView) -> list[int]:
        """Ids of the requests that can no longer meet their bounds, ascending."""

    @abstractmethod
    def again(self, view: ReplicaView, plan: StepPlan) -> Again:
        """When there may be more of them if the replica does what `plan`, which only decodes, says."""

    @abstractmethod
    def arrive(self, request: RequestState, bounds: Bounds) -> None:
        """`request` came in and is held to `bounds`."""

    @abstractmethod
    def leave(self, request: RequestState) -> None:
        """`request` is gone."""

    @abstractmethod
    def proceed(self, event: PolicyEvent, plan: StepPlan) -> None:
        """`plan` is about to be applied."""


class DeadlineWatch(Watch):
    """For bounds under which the next token's deadline only moves when a token comes: all but tbt.

    Nobody looks at all requests. Each has a time before which nothing can happen, its deadline when it was last
    looked at; from the first token on deadlines only move on, so only those whose time has come are looked at, and
    given a new time. At the first boundary at or after the earliest of these times, every token but the newest was
    early enough, so a miss inside a leap is seen at the very boundary at which it happens.
    """

    def __init__(self, variant: Variant) -> None:
        self._foresees = variant == "will_miss"
        self._first_token_only = variant == "before_first_token_only"
        self._requests: dict[int, tuple[RequestState, Bounds]] = {}
        self._to_prefill, self._decoding = SortedIds(), SortedIds()
        self._in_prefill: tuple[int, ...] = ()
        self._longest = 1

    def missed(self, view: ReplicaView) -> list[int]:
        """Overdue, late with the newest token, or (will_miss) sure to be late with the next."""
        return sorted([i for i in self._near(view) if self._is_missed(view, *self._requests[i])])

    def _is_missed(self, view: ReplicaView, request: RequestState, bounds: Bounds) -> bool:
        due = self._due(request, bounds)
        if view.now >= due or (not self._first_token_only and _newest_is_late(request, bounds)):
            return True
        return self._foresees and view.now + least_time_to_token(view, request) > due

    def again(self, view: ReplicaView, plan: StepPlan) -> Again:
        """The first deadline, less what the token takes at least if misses are foreseen."""
        at = inf
        for i in self._near(view):
            if i in view.running or i in view.waiting:
                request, bounds = self._requests[i]
                needs = least_time_to_token(view, request) if self._foresees else 0.0
                at = min(at, self._due(request, bounds) - needs)
        for times, lead in self._times(view):
            at = min(at, times.next_after(view.now + lead) - lead)
        return Again(max(at, nextafter(view.now, inf)))

    def _near(self, view: ReplicaView) -> set[int]:
        """The requests whose time has come, or who may have got their first token just now."""
        near = {i for i in self._in_prefill if i in self._requests}
        for times, lead in self._times(view):
            near.update(times.up_to(view.now + lead))
        return near

    def _times(self, view: ReplicaView) -> tuple[tuple[SortedIds, float], tuple[SortedIds, float]]:
        """Times by id, and how much earlier than that a request has to be looked at."""
        if not self._foresees:
            return (self._to_prefill, 0.0), (self._decoding, 0.0)
        full = Batch(0, 0, 0, 1, view.kv.num_blocks * view.kv.block_size, 1)
        return (self._to_prefill, prefill_time(view, self._longest)), (self._decoding, view.predict_step_time(full))

    def arrive(self, request: RequestState, bounds: Bounds) -> None:
        """Its first time is the deadline of its first token."""
        self._requests[request.id] = request, bounds
        self._look_at(request.id)

    def leave(self, request: RequestState) -> None:
        """Forget it."""
        del self._requests[request.id]
        self._to_prefill.discard(request.id)
        self._decoding.discard(request.id)

    def proceed(self, event: PolicyEvent, plan: StepPlan) -> None:
        """Look again at those whose time has come, and at those who begin or cease to decode."""
        come = self._to_prefill.up_to(event.time) + self._decoding.up_to(event.time)
        for i in (*come, *self._in_prefill):
            if i in self._requests:
                self._look_at(i)
        for i in plan.preempt:
            self._look_at(i, decoding=False)
        self._in_prefill = tuple(plan.prefill)

    def _look_at(self, request_id: int, decoding: bool | None = None) -> None:
        request, bounds = self._requests[request_id]
        decoding = request.decoding if decoding is None else decoding
        mine, other = (self._decoding, self._to_prefill) if decoding else (self._to_prefill, self._decoding)
        other.discard(request_id)
        due = self._due(request, bounds)
        if due < inf:
            mine.put(request_id, due)
        else:
            mine.discard(request_id)
        if not decoding:
            self._longest = max(self._longest, request.num_tokens)

    def _due(self, request: RequestState, bounds: Bounds) -> float:
        if self._first_token_only and request.num_generated_tokens:
            return inf
        return next_deadline(request, bounds)


def _newest_is_late(request: RequestState, bounds: Bounds) -> bool:
    n, first, last = request.num_generated_tokens, request.first_token_time, request.last_token_time
    if n == 0:
        return False
    if first > request.arrival + bounds.ttft or (n > 1 and last > first + (n - 1) * bounds.tpot):
        return True
    return bounds.speed > 0 and last > request.arrival + n / bounds.speed
