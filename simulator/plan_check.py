"""The check of a plan: what the replica could not do is refused by name, and nothing is repaired."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TypeAlias

from simulator.policy import ALL, ReplicaView, StepPlan
from simulator.request import RequestState
from simulator.speculation import blocks_to_verify


class InvalidPlan(ValueError):
    """A policy asked for what its replica cannot do; the message names the offence."""


Prefill: TypeAlias = tuple[int, int, int, int, int]
"""What a plan prefills in all: tokens, context and pairs as in `Batch`, new KV blocks, how many requests it admits."""
_NO_PREFILL: Prefill = (0, 0, 0, 0, 0)


def check_plan(plan: StepPlan, view: ReplicaView) -> Prefill:
    """What `plan` prefills. Raises `InvalidPlan` if it cannot be applied as it is to the replica that `view` shows."""
    prefill, decode, preempt, resume, speculate, drop, replan_at, replan_after = plan
    free, limits = view.kv.free, view.limits
    if preempt or drop or resume:  # most plans move nobody
        _check_removals(plan, view)
        _check_resumed(plan, view)
        free += _moved_blocks(plan, view)
    num_decodes, needed = _decodes(plan, view) if decode else (0, 0)
    totals = _check_prefill(plan, view) if prefill else _NO_PREFILL
    tokens, _, _, blocks, admitted = totals
    if len(view.running) + admitted + len(resume) > limits.max_num_seqs:
        _check_seats(plan, admitted + len(resume), view)
    if speculate:
        drafted, more = _drafted(plan, view)
        num_decodes, needed = num_decodes + drafted, needed + more
    tokens += num_decodes
    if tokens > limits.max_num_batched_tokens and (num_decodes or len(prefill) > 1):  # one prompt alone may
        limit = limits.max_num_batched_tokens
        raise InvalidPlan(f"{tokens} tokens in one iteration, over max_num_batched_tokens {limit}")
    needed += blocks
    if needed > free:
        raise InvalidPlan(f"the plan needs {needed} new KV blocks, {free} are free")
    if replan_at is not None or replan_after is not None or not (num_decodes or prefill):
        _check_progress(plan, bool(num_decodes), view)
    return totals


def _check_removals(plan: StepPlan, view: ReplicaView) -> None:
    for request_id, how in plan.preempt.items():
        if request_id not in view.running:
            raise InvalidPlan(f"preempt: request {request_id} is not running")
        if how not in ("recompute", "swap"):
            raise InvalidPlan(f"preempt: request {request_id}: {how!r} is not a way to preempt (recompute, swap)")
        if how == "swap" and request_id in view.prefilling:
            raise InvalidPlan(f"preempt: request {request_id} cannot be swapped before it is prefilled")
    for request_id in plan.drop:
        if request_id not in view.running and request_id not in view.waiting:
            raise InvalidPlan(f"drop: request {request_id} is not in the system")
        if request_id in plan.preempt:
            raise InvalidPlan(f"drop: request {request_id} is preempted by the same plan")


def _removed(request_id: int, plan: StepPlan) -> bool:
    return request_id in plan.preempt or request_id in plan.drop


def _decodes(plan: StepPlan, view: ReplicaView) -> tuple[int, int]:
    """How many requests decode under `plan`, and how many new blocks that takes."""
    kv = view.kv
    if plan.decode is ALL and not (plan.preempt or plan.drop or plan.resume) and kv.num_growing == view.num_decodes:
        return kv.num_growing, kv.needed_next
    ready = {r.id: r for r in view.running.values() if r.id not in view.prefilling and not _removed(r.id, plan)}
    ready |= {request_id: view.waiting[request_id] for request_id in plan.resume}
    decoding = ready if plan.decode is ALL else set(plan.decode)
    for request_id in decoding:
        if request_id not in ready:
            raise InvalidPlan(f"decode: request {request_id} is not running and prefilled, or is removed by the plan")
    return len(decoding), sum(_cached(ready[i]) % kv.block_size == 0 for i in decoding)


def _drafted(plan: StepPlan, view: ReplicaView) -> tuple[int, int]:
    """How many tokens are drafted, and how many new blocks their verification takes."""
    depths, running = plan.speculate, view.running
    if plan.prefill:
        raise InvalidPlan("speculate: an iteration that prefills cannot verify drafts")
    moves = plan.preempt or plan.drop or plan.resume
    if moves or view.prefilling or plan.decode is not ALL or not depths.keys() <= running.keys():
        _check_who_is_drafted_for(plan, view)
    values = depths.values()
    if set(map(type, values)) != {int} or min(values) < 1:
        _check_depths(depths)
    if plan.resume:
        running = {**running, **{request_id: view.waiting[request_id] for request_id in plan.resume}}
    return sum(values), blocks_to_verify(view.kv, running, depths)


def _check_who_is_drafted_for(plan: StepPlan, view: ReplicaView) -> None:
    for request_id in plan.speculate:
        there = request_id in plan.resume or (request_id in view.running and request_id not in view.prefilling)
        chosen = plan.decode is ALL or request_id in plan.decode
        if not there or _removed(request_id, plan) or not chosen:
            raise InvalidPlan(f"speculate: request {request_id} does not decode in this iteration")


def _check_depths(depths: Mapping[int, int]) -> None:
    for request_id, depth in depths.items():
        if not isinstance(depth, int) or depth < 1:
            raise InvalidPlan(f"speculate: {depth!r} drafts for request {request_id} are no number of tokens")


def _cached(request: RequestState) -> int:
    """Tokens in the cache once `request` is back from host memory."""
    return request.num_computed_tokens or request.swapped_tokens


def _check_resumed(plan: StepPlan, view: ReplicaView) -> None:
    for request_id in plan.resume:
        request = view.waiting.get(request_id)
        if request is None or not request.swapped_tokens or _removed(request_id, plan) or request_id in plan.prefill:
            raise InvalidPlan(f"resume: request {request_id} is not waiting to come back from host memory")


def _check_prefill(plan: StepPlan, view: ReplicaView) -> Prefill:
    prefilling, waiting, size = view.prefilling, view.waiting, view.kv.block_size
    removes = plan.preempt or plan.drop
    total = context = pairs = blocks = admitted = 0
    for request_id, tokens in plan.prefill.items():
        request = prefilling.get(request_id)
        if request is None:
            request = waiting.get(request_id)
            admitted += 1
        if request is None or (removes and _removed(request_id, plan)):
            raise InvalidPlan(f"prefill: request {request_id} is neither waiting nor being prefilled")
        cached = request._cached
        left = request.prompt_length + request._generated - cached
        if not isinstance(tokens, int) or not 1 <= tokens <= left:
            raise InvalidPlan(f"prefill: {tokens!r} tokens of request {request_id}, which has {left} to prefill")
        total += tokens
        context += cached
        pairs += tokens * cached + tokens * (tokens + 1) // 2
        blocks += -(-(cached + tokens) // size) + -cached // size
    return total, context, pairs, blocks, admitted


def _check_seats(plan: StepPlan, admitted: int, view: ReplicaView) -> None:
    removed = len(plan.preempt)
    if plan.drop:
        removed += sum(1 for request_id in plan.drop if request_id in view.running)
    seats = len(view.running) - removed + admitted
    if seats > view.limits.max_num_seqs:
        raise InvalidPlan(f"{seats} requests running, over max_num_seqs {view.limits.max_num_seqs}")


def _moved_blocks(plan: StepPlan, view: ReplicaView) -> int:
    """Blocks that removals free, less those that resumptions take; the swap space must hold what is swapped."""
    kv = view.kv
    removed = [view.running[i] for i in (*plan.preempt, *plan.drop) if i in view.running]
    freed = sum(kv.blocks_for(request.num_computed_tokens) for request in removed)
    taken = sum(kv.blocks_for(view.waiting[i].swapped_tokens) for i in plan.resume)
    swapped = [view.running[i].num_computed_tokens for i, how in plan.preempt.items() if how == "swap"]
    to_swap = sum(map(kv.blocks_for, swapped))
    if to_swap > view.swap.free:
        raise InvalidPlan(f"preempt: {to_swap} blocks to swap, {view.swap.free} of the swap space are free")
    return freed - taken


def _check_progress(plan: StepPlan, decodes: bool, view: ReplicaView) -> None:
    if plan.replan_at is not None and not plan.replan_at > view.now:
        raise InvalidPlan(f"replan_at {plan.replan_at} is not after now, {view.now}")
    if plan.replan_after is not None and (not isinstance(plan.replan_after, int) or plan.replan_after < 1):
        raise InvalidPlan(f"replan_after {plan.replan_after} is not a number of iterations")
    idle = not (plan.prefill or decodes or plan.drop or plan.preempt or plan.resume)
    if idle and plan.replan_at in (None, inf):
        waiting, running = len(view.waiting), len(view.running)
        raise InvalidPlan(
            f"nothing to run and no time to replan at, with {waiting} waiting and {running} running requests"
        )
