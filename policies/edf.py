"""Earliest deadline first, over token deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import chain, takewhile
from math import ceil, inf
from typing import Any

from pydantic import PrivateAttr

from policies.deadlines import Bounds, DeadlinePolicy, next_deadline
from policies.ordering import SortedIds, admissible, last_of_running
from policies.promise import PromiseKeeper
from simulator.policy import DECODE_ALL, NONE, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState


class Edf(DeadlinePolicy, PromiseKeeper):
    """The request whose next token is due first decides the iteration: it is prefilled if it waits, else all decode.

    Along with the first in the queue go the others that are due no later than any running request, in order of
    their deadlines and whole, while they fit as in fcfs. If the first does not fit, all decode: nobody is preempted
    to make room, and when the decodes run out of blocks, the latest due go. Deadlines are those of
    `policies.deadlines.next_deadline`; a first token that no bound holds waits until nobody else runs.

    Source: Liu and Layland (JACM 20, 1973), §7, with the token as the job. Deviation: a decode takes all running
    requests along, since leaving some out saves next to nothing.
    """

    name = "edf"

    _deadlines: SortedIds = PrivateAttr(default_factory=SortedIds)
    _requests: dict[int, tuple[RequestState, Bounds]] = PrivateAttr(default_factory=dict)
    _longest: int = PrivateAttr(default=0)

    def prefill_allowance(self, view: ReplicaView, tokens: int) -> float:
        """How long before its deadline a waiting request counts as due, seconds; grows with the tokens to prefill."""
        return 0.0

    def decode_allowance(self, view: ReplicaView) -> float:
        """How long before its deadline a running request counts as due, seconds."""
        return 0.0

    def decide(self, view: ReplicaView) -> StepPlan:
        """Prefill who is due first, else decode until a waiting request is."""
        plan = self._urgent(view) if view.waiting else DECODE_ALL
        if not plan.prefill and view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view, self._order))
        return plan

    def _urgent(self, view: ReplicaView) -> StepPlan:
        queue = self._by_due_time(view)
        due, first = next(queue)
        if not admissible(view, (first,)):
            return DECODE_ALL
        allowance = self.decode_allowance(view) if view.running else 0.0
        requests, soonest = self._requests, inf
        for request_id in reversed(list(view.running)):  # the newest are the least ahead
            request, bounds = requests[request_id]
            running_due = next_deadline(request, bounds) - allowance
            if running_due < due:
                return _decode_until(request, bounds, due + allowance, view.now)
            if running_due < soonest:
                soonest = running_due
        others = (request for _, request in takewhile(lambda entry: entry[0] <= soonest, queue))
        return StepPlan(prefill=admissible(view, chain((first,), others)), decode=NONE)

    def _by_due_time(self, view: ReplicaView) -> Iterator[tuple[float, RequestState]]:
        """The waiting requests by deadline less allowance: merged lazily, as no allowance is above the longest's."""
        longest = self.prefill_allowance(view, self._longest)
        ahead: list[tuple[float, int, RequestState]] = []
        for deadline, request_id in self._deadlines:
            request = view.waiting.get(request_id)
            if request is None:
                continue
            while ahead and ahead[0][0] < deadline - longest:
                yield ahead[0][0], heappop(ahead)[2]
            due = deadline - self.prefill_allowance(view, request.num_tokens_to_prefill)
            heappush(ahead, (due, request_id, request))
        while ahead:
            yield ahead[0][0], heappop(ahead)[2]

    def note(self, event: PolicyEvent) -> None:
        """Keep the queue in order of deadlines, which stand still while a request waits."""
        request, plan = event.request, event.plan
        if plan is not None:
            for request_id in plan.prefill:
                self._deadlines.discard(request_id)
            for request_id in plan.preempt:
                self._enqueue(*self._requests[request_id])
        elif request is not None and event.kind == "arrival":
            self._requests[request.id] = request, self.bounds(request)
            self._enqueue(*self._requests[request.id])
        elif request is not None:
            del self._requests[request.id]
            self._deadlines.discard(request.id)

    def _enqueue(self, request: RequestState, bounds: Bounds) -> None:
        self._deadlines.put(request.id, next_deadline(request, bounds))
        if request.num_tokens > self._longest:
            self._longest = request.num_tokens

    def _order(self, request: RequestState) -> Any:
        return next_deadline(*self._requests[request.id]), request.arrival, request.id


def _decode_until(request: RequestState, bounds: Bounds, time: float, now: float) -> StepPlan:
    """Decode until the next token of `request`, due before `time`, is due no earlier than that."""
    if time == inf or request.arrival + bounds.e2e < time:
        return DECODE_ALL
    if bounds.tbt < inf and time - bounds.tbt > now:
        return StepPlan(replan_at=time - bounds.tbt)
    n = request.num_generated_tokens
    steps = (time - request.arrival) * bounds.speed - n - 1
    if bounds.tpot < inf:
        steps = max(steps, (time - request.first_token_time) / bounds.tpot - n)
    return StepPlan(replan_after=max(1, ceil(steps)))
