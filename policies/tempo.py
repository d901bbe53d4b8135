"""Reward for each second of service still to come, in frames (Tempo, now JITServe)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import Field, PrivateAttr

from policies.deadlines import prefill_time
from policies.ordering import Victims, admissible, last_of_running
from policies.promise import PromiseKeeper
from policies.targets import MeanLength, expected_output_length, tpot_target, ttft_target
from simulator.latency import Batch
from simulator.policy import DECODE_ALL, NONE, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState


class Tempo(PromiseKeeper):
    """Every `frame` iterations the batch is chosen anew: high priorities, and prompts of similar length.

    priority = reward / remaining time; reward = (prompt + `output_weight` · output)·min(1, deadline/predicted
    finish)^`decay`. Of all in the system those are kept whose priority is at least `keep` times that of the B-th;
    of these, in order of prompt length, the B neighbours with the largest sum of priorities are served. Whoever of
    them waits takes the place of running requests that were not chosen, the lowest priority first, which are
    preempted for recomputation. In between, whoever fits is admitted in order of priority, whole, as in fcfs.

    The output length is the request's prediction, or else the running mean of those that finished. The remaining
    time is the prefill alone, and a present decode step for each token to come. The deadline is the SLO's e2e, else
    the time to the first token and then the TPOT for each predicted token.

    Source: Tempo (arXiv 2504.20068): priority, cutoff and window as told in its text. Open there, chosen here: B is
    the number of seats, or how many fit into the cache in order of priority, if that is fewer; those not chosen run
    on until their place is needed; an exchange prefills what one iteration holds; the decay's exponent; all defaults
    of those who were promised nothing. Left out: the quantile forest that predicts lengths, and compound requests.
    """

    name = "tempo"

    frame: int = Field(default=50, ge=1, description="iterations between two choices of the batch")
    keep: float = Field(default=0.95, ge=0, le=1, description="share of the B-th priority that still counts")
    decay: float = Field(default=1.0, ge=0, description="exponent by which a late finish loses reward")
    output_weight: float = Field(default=8.0, ge=0, description="reward of an output token; a prompt token's is 1")
    ttft: float = Field(default=2.0, gt=0, description="s: of a request that was promised none")
    tpot: float = Field(default=0.1, gt=0, description="s: of a request that was promised none")
    output_length: float = Field(default=256.0, ge=1, description="tokens expected before anybody has finished")

    _lengths: MeanLength = PrivateAttr()
    _next_frame: int = PrivateAttr(default=0)

    def model_post_init(self, context: object, /) -> None:
        """Start without any experience."""
        self._lengths = MeanLength(self.output_length)

    def note(self, event: PolicyEvent) -> None:
        """Learn output lengths, and when the next frame begins."""
        if event.kind == "finish" and event.request is not None:
            self._lengths.add(event.request)
        elif event.kind == "plan" and event.iteration >= self._next_frame:
            self._next_frame = event.iteration + self.frame

    def decide(self, view: ReplicaView) -> StepPlan:
        """Admit who fits; at the beginning of a frame exchange; else decode everyone until the next one."""
        left = self._next_frame - view.iteration
        if view.waiting and (left <= 0 or len(view.running) < view.limits.max_num_seqs):
            step = _step_time(view)
            order = sorted(view.waiting.values(), key=lambda r: (-self.priority(r, view, step), r.id))
            prefill = admissible(view, order)
            if left <= 0 and len(prefill) < len(order) and (exchange := self._exchange(view, step)):
                return exchange
            if prefill:
                return StepPlan(prefill=prefill, decode=NONE)
        if view.kv.needed_next > view.kv.free:
            step = _step_time(view)
            return StepPlan(preempt=last_of_running(view, lambda r: (-self.priority(r, view, step), r.id)))
        return StepPlan(replan_after=left if left > 0 else self.frame) if view.waiting else DECODE_ALL

    def priority(self, request: RequestState, view: ReplicaView, step: float) -> float:
        """Reward for each second of service to come, if a decode step takes `step` seconds."""
        length = expected_output_length(request, self._lengths.value)
        remaining = (length - request.num_generated_tokens) * step
        if request.id in view.waiting:
            remaining += prefill_time(view, request.num_tokens_to_prefill)
        slo = request.slo
        if slo is not None and slo.e2e is not None:
            deadline = slo.e2e
        else:
            deadline = ttft_target(request, self.ttft) + (length - 1.0) * tpot_target(request, self.tpot)
        finish = view.now - request.arrival + remaining
        reward = request.prompt_length + self.output_weight * length
        return reward * float(min(1.0, deadline / finish) ** self.decay) / remaining

    def _exchange(self, view: ReplicaView, step: float) -> StepPlan | None:
        """Prefill of the chosen who wait, in place of the running who were not chosen; None if nobody gets in."""
        everyone = [*view.running.values(), *view.waiting.values()]
        priority = {request.id: self.priority(request, view, step) for request in everyone}
        everyone.sort(key=lambda r: (-priority[r.id], r.id))
        size = _batch_size(view, everyone)
        cutoff = self.keep * priority[everyone[size - 1].id]
        kept = [request for request in everyone if priority[request.id] >= cutoff]
        chosen = best_window(kept, [priority[request.id] for request in kept], size)
        newcomers = [request for request in everyone if request.id in chosen and request.id in view.waiting]
        expendable = [request for request in everyone if request.id not in chosen and request.id in view.running]
        return _replace(view, newcomers, expendable)


def best_window(kept: Sequence[RequestState], priority: Sequence[float], size: int) -> Collection[int]:
    """Ids of the `size` requests, neighbours in prompt length, whose priorities add up to the most.

    Of equal sums the shortest prompts. All, if there are no more than `size`.
    """
    order = sorted(range(len(kept)), key=lambda i: (kept[i].prompt_length, kept[i].id))
    total = best = sum([priority[i] for i in order[:size]])
    start = 0
    for first in range(1, len(order) - size + 1):
        total += priority[order[first + size - 1]] - priority[order[first - 1]]
        if total > best:
            best, start = total, first
    return {kept[i].id for i in order[start : start + size]}


def _step_time(view: ReplicaView) -> float:
    """Estimated duration of a decode step of the present batch, the held blocks standing for the tokens in them."""
    num_decodes = max(1, view.num_decodes)
    kv_tokens = (view.kv.num_blocks - view.kv.free) * view.kv.block_size + num_decodes
    return view.predict_step_time(Batch(0, 0, 0, num_decodes, kv_tokens, num_decodes))


def _batch_size(view: ReplicaView, in_order: Sequence[RequestState]) -> int:
    """How many, in this order, the seats and the blocks beyond the watermark can take; at least one."""
    free = view.kv.num_blocks - view.kv.watermark_blocks
    size = 0
    for request in in_order[: view.limits.max_num_seqs]:
        free -= view.kv.blocks_for(request.num_tokens)
        if free < 0:
            break
        size += 1
    return max(1, size)


def _replace(view: ReplicaView, newcomers: Sequence[RequestState], expendable: list[RequestState]) -> StepPlan | None:
    """Prefill newcomers in order, each with as few preemptions, from the end of `expendable`, as make room for it."""
    kv = view.kv
    free, seats = kv.free - kv.watermark_blocks, view.limits.max_num_seqs - len(view.running)
    budget = view.limits.max_num_batched_tokens
    prefill: dict[int, int] = {}
    victims: Victims = {}
    for request in newcomers:
        tokens = request.num_tokens_to_prefill
        blocks = kv.blocks_for(tokens)
        if prefill and tokens > budget:
            break
        num_victims, seats_then, free_then = 0, seats, free
        while (seats_then < 1 or free_then < blocks) and num_victims < len(expendable):
            num_victims += 1
            seats_then += 1
            free_then += kv.blocks_for(expendable[-num_victims].num_computed_tokens)
        if seats_then < 1 or free_then < blocks:
            break
        victims.update((expendable.pop().id, "recompute") for _ in range(num_victims))
        prefill[request.id] = tokens
        seats, free, budget = seats_then - 1, free_then - blocks, budget - tokens
    return StepPlan(prefill=prefill, decode=NONE, preempt=victims) if prefill else None
