"""First come, first served continuous batching, prefill first (Orca; the default of vLLM v0)."""

from __future__ import annotations

from typing import Literal

from simulator.kv_cache import KVCache
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
        if view.waiting and (prefill := self._admissible(view)):
            return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=latest_arrivals(view, view.kv.needed_next - view.kv.free))
        return DECODE_ALL

    def _admissible(self, view: ReplicaView) -> dict[int, int]:
        seats = view.limits.max_num_seqs - len(view.running)
        if seats <= 0:
            return {}
        kv = view.kv
        free = kv.free - kv.watermark_blocks
        budget = view.limits.max_num_batched_tokens
        prefill: dict[int, int] = {}
        for request in view.waiting.values():
            tokens = request.num_tokens_to_prefill
            blocks = kv.blocks_for(tokens)
            if blocks > free or (tokens > budget and prefill) or len(prefill) == seats:
                break
            prefill[request.id] = tokens
            free -= blocks
            budget -= tokens
            if budget <= 0:
                break
        return prefill


def latest_arrivals(view: ReplicaView, shortage: int) -> dict[int, Literal["recompute"]]:
    """The fewest latest-arrived running requests whose preemption makes up for `shortage` blocks.

    A victim gives back its blocks, and the new block that it would have taken.
    """
    victims: dict[int, Literal["recompute"]] = {}
    by_arrival = sorted(view.running.values(), key=lambda request: (request.arrival, request.id))
    while shortage > 0:
        victim = by_arrival.pop()
        victims[victim.id] = "recompute"
        shortage -= _relief(view.kv, victim.num_computed_tokens, victim.decoding)
    return victims


def _relief(kv: KVCache, cached: int, decoding: bool) -> int:
    return kv.blocks_for(cached) + (decoding and cached % kv.block_size == 0)
