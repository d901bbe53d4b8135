"""First come, first served continuous batching, prefill first (Orca; the default of vLLM v0)."""

from __future__ import annotations

from policies.ordering import admissible, last_of_running
from simulator.policy import DECODE_ALL, NONE, ReplicaView, SchedulerPolicy, StepPlan


class Fcfs(SchedulerPolicy):
    """Waiting requests that fit are prefilled whole, in order, in an iteration of their own; else all decode.

    A request fits if there are a seat (max_num_seqs), room among the batched tokens and KV blocks for its prompt
    beyond the watermark; the first that does not holds up the rest. A prompt above max_num_batched_tokens runs
    alone. When the decodes run out of blocks, the latest arrivals are preempted for recomputation.

    Source: Orca (OSDI 2022, §4); vLLM (arXiv 2309.06180, §4.3 and §4.5) and its v0 scheduler's defaults.
    """

    name = "fcfs"

    def plan(self, view: ReplicaView) -> StepPlan:
        """Prefill who fits, else decode everyone, after preempting whom the cache cannot hold any more."""
        if view.waiting and (prefill := admissible(view, view.waiting.values())):
            return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view))
        return DECODE_ALL
