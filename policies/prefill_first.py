"""The base of policies that are fcfs in another order."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import PrivateAttr

from policies.ordering import SortedIds, admissible, last_of_running
from simulator.policy import DECODE_ALL, NONE, PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan
from simulator.request import RequestState


class PrefillFirst(SchedulerPolicy):
    """Waiting requests that fit are prefilled whole, in order of `rank`, in an iteration of their own; else all decode.

    As fcfs otherwise: the first that does not fit holds up the rest, and when the decodes run out of blocks, the
    last in order of rank are preempted for recomputation. Equal ranks are in order of arrival.
    """

    _queue: SortedIds = PrivateAttr(default_factory=SortedIds)
    _requests: dict[int, RequestState] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def rank(self, request: RequestState) -> float:
        """The place of `request` in the order, the lowest first; it may not change while the request waits."""

    def plan(self, view: ReplicaView) -> StepPlan:
        """Prefill who fits, else decode everyone, after preempting whom the cache cannot hold any more."""
        if view.waiting and (prefill := admissible(view, self._queue.present(view.waiting))):
            return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view, self._order))
        return DECODE_ALL

    def on_event(self, event: PolicyEvent) -> None:
        """Keep the queue sorted."""
        request, plan = event.request, event.plan
        if plan is not None:
            for request_id in plan.prefill:
                self._queue.discard(request_id)
            for request_id in plan.preempt:
                self._queue.put(request_id, self.rank(self._requests[request_id]))
        elif request is not None and event.kind == "arrival":
            self._requests[request.id] = request
            self._queue.put(request.id, self.rank(request))
        elif request is not None:
            del self._requests[request.id]
            self._queue.discard(request.id)

    def _order(self, request: RequestState) -> tuple[float, int]:
        return self.rank(request), request.id
