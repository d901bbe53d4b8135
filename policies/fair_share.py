"""Fair sharing between clients by served cost: the virtual token counter (VTC, arXiv 2401.00588)."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import islice

from pydantic import Field, PrivateAttr

from policies.ordering import SortedIds, admissible, last_of_running
from policies.promise import PromiseKeeper
from simulator.policy import DECODE_ALL, NONE, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState


class FairShare(PromiseKeeper):
    """The waiting client that has been served least goes first; its requests in order of arrival.

    Served cost = `prompt_weight` · prompt tokens, once a request is first admitted, + `output_weight` · output
    tokens, as they come. A client that returns with nobody of its own waiting is lifted to the least counter among
    the waiting clients, or that of the client that emptied the queue, so that idle time earns no credit. Otherwise
    as fcfs: whole prompts first, the first that does not fit holds up the rest, the latest arrivals are preempted.
    Requests without a client (−1) are one client's together, and with one client this is fcfs.

    Source: VTC, algorithm 2, with its weights of 1 and 2. Deviations: the order is settled when something happens
    (an arrival, an end, a preemption), not at each token while nobody can be admitted; prefilling a preempted
    request again is not charged.
    """

    name = "fair_share"

    prompt_weight: float = Field(default=1.0, ge=0, description="cost of a prompt token")
    output_weight: float = Field(default=2.0, ge=0, description="cost of an output token")

    _settled: dict[int, float] = PrivateAttr(default_factory=dict)  # by client: all but the output in the system
    _admitted: dict[int, dict[int, RequestState]] = PrivateAttr(default_factory=dict)  # by client
    _requests: dict[int, RequestState] = PrivateAttr(default_factory=dict)
    _queues: dict[int, SortedIds] = PrivateAttr(default_factory=dict)  # by client, none of them empty
    _last_to_leave: int | None = PrivateAttr(default=None)  # the client whose queue emptied last

    def served(self, client: int) -> float:
        """Cost of what `client` has been served, lifts included, as of the last boundary."""
        tokens = sum([request.num_generated_tokens for request in self._admitted.get(client, {}).values()])
        return self._settled.get(client, 0.0) + self.output_weight * tokens

    def decide(self, view: ReplicaView) -> StepPlan:
        """Prefill the least served clients' requests that fit, else decode everyone."""
        if view.waiting and (prefill := admissible(view, self._least_served_first(view))):
            return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view))
        return DECODE_ALL

    def _least_served_first(self, view: ReplicaView) -> Iterator[RequestState]:
        """Who is next if the one before is admitted; that one's prompt is charged before the next is chosen."""
        if len(self._queues) == 1:
            yield from next(iter(self._queues.values())).present(view.waiting)
            return
        heads: list[tuple[float, int, RequestState, Iterator[RequestState]]] = []
        for client, queue in self._queues.items():
            rest = queue.present(view.waiting)
            heads.extend((self.served(client), first.id, first, rest) for first in islice(rest, 1))
        heapify(heads)
        while heads:
            served, _, request, rest = heappop(heads)
            yield request
            for follower in islice(rest, 1):
                heappush(heads, (served + self._prompt_cost(request), follower.id, follower, rest))

    def note(self, event: PolicyEvent) -> None:
        """Keep the queues and the counters."""
        request, plan = event.request, event.plan
        if plan is not None:
            for request_id in plan.prefill:
                self._admit(self._requests[request_id])
            for request_id in plan.preempt:
                self._enqueue(self._requests[request_id])
        elif request is not None and event.kind == "arrival":
            self._requests[request.id] = request
            if request.client not in self._queues:
                self._lift(request.client)
            self._enqueue(request)
        elif request is not None:
            self._leave(request)

    def _lift(self, client: int) -> None:
        """`client`, of whom nobody waits, comes back."""
        levels = [self.served(other) for other in self._queues]
        if not levels and self._last_to_leave is not None:
            levels = [self.served(self._last_to_leave)]
        self._charge(client, max(0.0, min(levels, default=0.0) - self.served(client)))

    def _enqueue(self, request: RequestState) -> None:
        self._queues.setdefault(request.client, SortedIds()).put(request.id, request.arrival)

    def _dequeue(self, request: RequestState) -> None:
        queue = self._queues.get(request.client)
        if queue is not None:
            queue.discard(request.id)
            if not queue:
                del self._queues[request.client]
                self._last_to_leave = request.client

    def _admit(self, request: RequestState) -> None:
        self._dequeue(request)
        admitted = self._admitted.setdefault(request.client, {})
        if request.id not in admitted:
            admitted[request.id] = request
            self._charge(request.client, self._prompt_cost(request))

    def _leave(self, request: RequestState) -> None:
        self._dequeue(request)
        del self._requests[request.id]
        if self._admitted.get(request.client, {}).pop(request.id, None) is not None:
            self._charge(request.client, self.output_weight * request.num_generated_tokens)

    def _charge(self, client: int, cost: float) -> None:
        self._settled[client] = self._settled.get(client, 0.0) + cost

    def _prompt_cost(self, request: RequestState) -> float:
        return 0.0 if request.num_preemptions else self.prompt_weight * request.prompt_length
