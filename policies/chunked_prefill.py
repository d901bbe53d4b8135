"""Chunked prefill with a token budget (Sarathi-Serve, arXiv 2403.02310; the default of vLLM v1)."""

from __future__ import annotations

from pydantic import Field

from policies.ordering import last_of_running
from simulator.policy import DECODE_ALL, ReplicaView, SchedulerPolicy, StepPlan


class ChunkedPrefill(SchedulerPolicy):
    """Every iteration decodes all, then prefills chunks within what is left of `token_budget` tokens.

    Partly prefilled requests come before new ones; both in order. A new request is admitted if there are a seat
    and KV blocks for its whole prompt beyond the watermark. When the decodes run out of blocks, the latest arrivals
    are preempted for recomputation, and that iteration prefills nothing.

    The paper's evaluation sets the budget to 512 (strict) and 2048 (relaxed).
    Source: Sarathi-Serve, §4 and algorithm 3. Deviation: the whole prompt's blocks are set aside by the admission
    rule, not allocated; each chunk takes its own.
    """

    name = "chunked_prefill"

    token_budget: int = Field(default=2048, ge=1, description="tokens of an iteration, decodes included")

    def plan(self, view: ReplicaView) -> StepPlan:
        """Decode everyone and fill the rest of the budget with prefill chunks."""
        kv = view.kv
        if kv.needed_next > kv.free:
            return StepPlan(preempt=last_of_running(view))
        if not (view.waiting or view.prefilling):
            return DECODE_ALL
        prefill = self._chunks(view)
        return StepPlan(prefill=prefill) if prefill else DECODE_ALL

    def _chunks(self, view: ReplicaView) -> dict[int, int]:
        kv = view.kv
        budget = min(self.token_budget, view.limits.max_num_batched_tokens) - view.num_decodes
        free = kv.free - kv.needed_next
        chunks: dict[int, int] = {}
        for request in view.prefilling.values():
            cached, left = request.num_computed_tokens, request.num_tokens_to_prefill
            room = (free + kv.blocks_for(cached)) * kv.block_size - cached
            chunk = min(left, budget, room)
            if chunk <= 0:
                return chunks
            chunks[request.id] = chunk
            free -= kv.blocks_for(cached + chunk) - kv.blocks_for(cached)
            budget -= chunk
        seats = view.limits.max_num_seqs - len(view.running)
        free -= kv.watermark_blocks
        for request in view.waiting.values():
            left = request.num_tokens_to_prefill
            if seats <= 0 or budget <= 0 or kv.blocks_for(left) > free:
                break
            chunks[request.id] = min(left, budget)
            free -= kv.blocks_for(left)
            budget -= chunks[request.id]
            seats -= 1
        return chunks
