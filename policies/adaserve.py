"""Speculative decoding by how far each request is behind its SLO (AdaServe)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from pydantic import Field

from policies.ordering import admissible, last_of_running
from policies.targets import tpot_target
from simulator.latency import Batch
from simulator.policy import DECODE_ALL, NONE, ReplicaView, SchedulerPolicy, StepPlan
from simulator.speculation import expected_tokens


class AdaServe(SchedulerPolicy):
    """Who is behind is drafted for first, until its expected tokens catch up; the likeliest drafts share the rest.

    A request needs A = (elapsed + t_spec)/TPOT − generated tokens of the coming iteration, both counted from its
    first token, and at most `max_depth` + 1. In descending A each gets drafts until its expected tokens,
    (1 − a^(n+1))/(1 − a), reach that; what is left of `token_budget` goes to the drafts that are the likeliest to be
    accepted, whosesoever. t_spec is the estimated duration of an iteration that uses up budget and depth.

    Prompts go first, whole and in order, as in fcfs; so do preemptions. Drafts that the free blocks cannot hold are
    left out. Acceptance rate and draft cost are the engine's, `EngineLimits.speculation`.

    Source: AdaServe (arXiv 2501.12162), §4: both phases of the selection. Deviations: one chain a request instead of
    a tree, so a draft at depth j has the path probability a^j; one acceptance rate for all instead of the draft
    model's own confidence; a fixed depth and budget (the paper profiles the budget and adapts the depth to the load).
    Equal probabilities go by need. The default TPOT is ours.
    """

    name = "adaserve"

    max_depth: int = Field(default=4, ge=1, description="tokens drafted for a request, at most")
    token_budget: int = Field(default=256, ge=1, description="tokens verified in an iteration")
    tpot: float = Field(default=0.05, gt=0, description="s: of a request that was promised none")

    def plan(self, view: ReplicaView) -> StepPlan:
        """Prefill who fits, else decode everyone, with drafts for as many as the budget holds."""
        if view.waiting and (prefill := admissible(view, view.waiting.values())):
            return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view))
        budget = min(self.token_budget, view.limits.max_num_batched_tokens) - view.num_decodes
        acceptance = view.limits.speculation.acceptance
        if budget <= 0 or acceptance == 0.0:
            return DECODE_ALL
        drafts = _that_fit(view, self._depths(view, acceptance, budget))
        return StepPlan(speculate=drafts) if drafts else StepPlan(replan_after=1)

    def _depths(self, view: ReplicaView, acceptance: float, budget: int) -> dict[int, int]:
        """Drafts by request id: as many as may be for each if the budget suffices, for then nobody's need matters."""
        if budget >= self.max_depth * len(view.running):
            return dict.fromkeys(view.running, self.max_depth)
        need = self._need(view)
        return dict(zip(need, choose_depths(list(need.values()), acceptance, self.max_depth, budget), strict=True))

    def _need(self, view: ReplicaView) -> dict[int, float]:
        """A by request id, tokens."""
        running, tpot = view.running.values(), self.tpot
        generated = [request.num_generated_tokens for request in running]
        kv_tokens = sum([request.prompt_length for request in running]) + sum(generated)
        batch = Batch(0, 0, 0, self.token_budget, kv_tokens, len(generated))
        drafting = self.max_depth * view.limits.speculation.draft_step_time
        end = view.now + view.predict_step_time(batch) + drafting
        return {
            request.id: (end - request.first_token_time) / tpot_target(request, tpot) - (tokens - 1)
            for request, tokens in zip(running, generated, strict=True)
        }


def choose_depths(need: Sequence[float], acceptance: float, max_depth: int, budget: int) -> list[int]:
    """Drafts for each request: by need until the expected tokens reach it, then by the chance to be accepted.

    need: tokens that each should get, of which the target adds one without a draft. budget: drafts in all.
    """
    expected = [expected_tokens(acceptance, depth) for depth in range(max_depth)]
    by_need = sorted(range(len(need)), key=need.__getitem__, reverse=True)  # equal ones stay in order
    depths = [0] * len(need)
    for i in by_need:
        if need[i] <= 1.0 or not budget:
            break
        depths[i] = min(bisect_left(expected, need[i]), budget)
        budget -= depths[i]
    for depth in range(max_depth):
        if not budget:
            break
        next_in_line = [i for i in by_need if depths[i] == depth][:budget]
        for i in next_in_line:
            depths[i] = depth + 1
        budget -= len(next_in_line)
    return depths


def _that_fit(view: ReplicaView, depths: dict[int, int]) -> dict[int, int]:
    """The drafts for which there are blocks: those that need new ones get them in order, while there are any."""
    kv = view.kv
    free = kv.free - kv.needed_next
    most = max(depths.values())
    if kv.blocks_for(most) * len(depths) <= free:
        return depths if all(depths.values()) else {request_id: depth for request_id, depth in depths.items() if depth}
    drafts: dict[int, int] = {}
    for request_id, depth in depths.items():
        after = view.running[request_id].num_computed_tokens + 1
        fitting = min(depth, (kv.blocks_for(after) + free) * kv.block_size - after)
        free -= kv.blocks_for_more(after, fitting)
        if fitting:
            drafts[request_id] = fitting
    return drafts
