"""Static batching: a batch starts when the last one has wholly finished (the baseline before Orca)."""

from __future__ import annotations

from pydantic import Field, PrivateAttr

from policies.ordering import admissible, last_of_running
from simulator.policy import DECODE_ALL, NONE, PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan


class StaticBatching(SchedulerPolicy):
    """Nobody joins a batch once it decodes; the next one is made of those who wait when the last request is done.

    A batch is filled in order of arrival up to `batch_size`, max_num_seqs and the KV cache, by as many prefill
    iterations as the batched tokens allow, and does not wait to be full. When its decodes run out of blocks, the
    latest arrivals are preempted and belong to the next batch.

    Source: what Orca (OSDI 2022, §3.1) measures itself against. Deviations: tokens reach the user as they are
    generated and a finished request leaves at once, where that baseline returns the batch as a whole and pads it.
    """

    name = "static_batching"

    batch_size: int | None = Field(default=None, ge=1, description="requests of a batch; max_num_seqs if not given")

    _closed: bool = PrivateAttr(default=False)

    def plan(self, view: ReplicaView) -> StepPlan:
        """Fill the batch while it has not decoded, else decode it."""
        if view.waiting and not (self._closed and view.running):
            prefill = admissible(view, view.waiting.values(), self.batch_size)
            if prefill:
                return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view))
        return DECODE_ALL

    def on_event(self, event: PolicyEvent) -> None:
        """A batch is closed by its first plan without a prefill."""
        if event.plan is not None:
            self._closed = not event.plan.prefill
