"""The check of a plan: what the replica could not do is refused by name, and nothing is repaired."""

from __future__ import annotations

from collections.abc import Collection

from simulator.policy import ALL, ReplicaView, StepPlan
from simulator.request import RequestState


class InvalidPlan(ValueError):
    """A policy asked for what its replica cannot do; the message names the offence."""


def check_plan(plan: StepPlan, view: ReplicaView) -> None:
    """Raise `InvalidPlan` if `plan` cannot be applied as it is to the replica that `view` shows."""
    _check_removals(plan, view)
    decoding = _decoding(plan, view)
    _check_prefill(plan, view)
    _check_seats(plan, view)
    _check_tokens(plan, len(decoding), view)
    _check_blocks(plan, decoding, view)
    _check_progress(plan, bool(decoding), view)


def _check_removals(plan: StepPlan, view: ReplicaView) -> None:
    for request_id, how in plan.preempt.items():
        if request_id not in view.running:
            raise InvalidPlan(f"preempt: request {request_id} is not running")
        if how != "recompute":
            raise InvalidPlan(f"preempt: request {request_id}: {how!r} is not a way to preempt (recompute)")
    for request_id in plan.drop:
        if request_id not in view.running and request_id not in view.waiting:
            raise InvalidPlan(f"drop: request {request_id} is not in the system")
        if request_id in plan.preempt:
            raise InvalidPlan(f"drop: request {request_id} is preempted by the same plan")


def _removed(request_id: int, plan: StepPlan) -> bool:
    return request_id in plan.preempt or request_id in plan.drop


def _decoding(plan: StepPlan, view: ReplicaView) -> Collection[RequestState]:
    """The requests that decode under `plan`."""
    ready = (r for r in view.running.values() if r.id not in view.prefilling and not _removed(r.id, plan))
    if plan.decode is ALL:
        return list(ready)
    by_id = {r.id: r for r in ready}
    for request_id in plan.decode:
        if request_id not in by_id:
            raise InvalidPlan(f"decode: request {request_id} is not running and prefilled, or is removed by the plan")
    return [by_id[request_id] for request_id in dict.fromkeys(plan.decode)]


def _check_prefill(plan: StepPlan, view: ReplicaView) -> None:
    for request_id, tokens in plan.prefill.items():
        request = view.prefilling.get(request_id) or view.waiting.get(request_id)
        if request is None or _removed(request_id, plan):
            raise InvalidPlan(f"prefill: request {request_id} is neither waiting nor being prefilled")
        if not 1 <= tokens <= request.num_tokens_to_prefill:
            left = request.num_tokens_to_prefill
            raise InvalidPlan(f"prefill: {tokens} tokens of request {request_id}, which has {left} to prefill")


def _check_seats(plan: StepPlan, view: ReplicaView) -> None:
    admitted = sum(1 for request_id in plan.prefill if request_id in view.waiting)
    removed = len(plan.preempt) + sum(1 for request_id in plan.drop if request_id in view.running)
    seats = len(view.running) - removed + admitted
    if admitted and seats > view.limits.max_num_seqs:
        raise InvalidPlan(f"{seats} requests running, over max_num_seqs {view.limits.max_num_seqs}")


def _check_tokens(plan: StepPlan, num_decodes: int, view: ReplicaView) -> None:
    tokens = sum(plan.prefill.values()) + num_decodes
    limit = view.limits.max_num_batched_tokens
    one_prompt_alone = len(plan.prefill) == 1 and not num_decodes
    if tokens > limit and not one_prompt_alone:
        raise InvalidPlan(f"{tokens} tokens in one iteration, over max_num_batched_tokens {limit}")


def _check_blocks(plan: StepPlan, decoding: Collection[RequestState], view: ReplicaView) -> None:
    kv = view.kv
    held = {**view.waiting, **view.running} if plan.drop else view.running
    freed = sum(kv.blocks_for(held[i].num_computed_tokens) for i in (*plan.preempt, *plan.drop))
    needed = sum(r.num_computed_tokens % kv.block_size == 0 for r in decoding)
    for request_id, tokens in plan.prefill.items():
        request = view.prefilling.get(request_id) or view.waiting[request_id]
        cached = request.num_computed_tokens
        needed += kv.blocks_for(cached + tokens) - kv.blocks_for(cached)
    if needed > kv.free + freed:
        raise InvalidPlan(f"the plan needs {needed} new KV blocks, {kv.free + freed} are free")


def _check_progress(plan: StepPlan, decodes: bool, view: ReplicaView) -> None:
    if plan.replan_at is not None and not plan.replan_at > view.now:
        raise InvalidPlan(f"replan_at {plan.replan_at} is not after now, {view.now}")
    if plan.replan_after is not None and plan.replan_after < 1:
        raise InvalidPlan(f"replan_after {plan.replan_after} is not at least one iteration")
    idle = not (plan.prefill or decodes or plan.drop or plan.preempt)
    if idle and plan.replan_at is None:
        waiting, running = len(view.waiting), len(view.running)
        raise InvalidPlan(f"nothing to run and no replan_at, with {waiting} waiting and {running} running requests")
