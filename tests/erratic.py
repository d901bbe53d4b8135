"""A policy that does everything a policy may do, in no sensible order, and keeps its promises."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from pydantic import PrivateAttr

from simulator import NONE, PolicyEvent, ReplicaView, RequestState, SchedulerPolicy, StepPlan
from simulator.policy import Preemption, changes_more_than_decodes


class Erratic(SchedulerPolicy):
    """Prefills odd chunks, pauses, preempts, drops and asks to be asked again, as a hash of what it sees says.

    It remembers a decode-only plan that it gave and repeats it until an event, a shortage or its replan time.
    """

    name = "erratic"
    seed: int = 0
    drops: bool = True
    _held: StepPlan | None = PrivateAttr(default=None)
    _held_at: int = PrivateAttr(default=0)
    _known: dict[int, RequestState] = PrivateAttr(default_factory=dict)
    _seen: int = PrivateAttr(default=0)

    def plan(self, view: ReplicaView) -> StepPlan:
        if self._held is not None and not self._due(view):
            return self._held
        dice = _Dice(self.seed + self._seen, view)
        running = list(view.running.values())
        if running and dice.below(12) == 0:
            victims = running[-1 - dice.below(min(3, len(running))) :]
            if self.drops and dice.below(3) == 0:
                return StepPlan(drop={r.id: "erratic" for r in victims}, decode=NONE)
            return StepPlan(preempt=self._how(view, victims, dice), decode=NONE)
        back = self._swapped_that_fit(view) if dice.below(2) else []
        if back:
            return StepPlan(resume=back, decode=NONE)
        decodes = [r for r in running if r.decoding or r.id not in view.prefilling]
        if decodes and dice.below(3) == 0:
            decodes = decodes[: 1 + dice.below(len(decodes))]
        free = view.kv.free - sum(r.num_computed_tokens % view.kv.block_size == 0 for r in decodes)
        while free < 0:
            free += decodes.pop().num_computed_tokens % view.kv.block_size == 0
        prefill = self._chunks(view, free, dice) if dice.below(4) else {}
        if not (decodes or prefill):
            if running:
                return StepPlan(preempt=self._how(view, running[-1:], dice), decode=NONE)
            return StepPlan(prefill=self._chunks(view, view.kv.free, dice), decode=NONE)
        again: dict[str, Any] = {}
        if dice.below(3) == 0:
            again["replan_after"] = 1 + dice.below(40)
        if dice.below(3) == 0:
            again["replan_at"] = view.now + (1 + dice.below(64)) / 16
        if decodes and not prefill and dice.below(3) == 0:
            again["speculate"] = self._drafts(view, decodes, free, dice)
        return StepPlan(prefill=prefill, decode=tuple(r.id for r in decodes), **again)

    @staticmethod
    def _drafts(view: ReplicaView, decodes: list[RequestState], free: int, dice: _Dice) -> dict[int, int]:
        kv, drafts = view.kv, {}
        tokens = view.limits.max_num_batched_tokens - len(decodes)
        for request in decodes:
            after = request.num_computed_tokens + 1
            depth = min(dice.below(20), tokens, (free + kv.blocks_for(after)) * kv.block_size - after)
            if depth > 0:
                drafts[request.id] = depth
                tokens -= depth
                free -= kv.blocks_for(after + depth) - kv.blocks_for(after)
        return drafts

    @staticmethod
    def _how(view: ReplicaView, victims: list[RequestState], dice: _Dice) -> dict[int, Preemption]:
        swap, how = view.swap.free, {}
        for request in victims:
            blocks = view.kv.blocks_for(request.num_computed_tokens)
            swappable = request.id not in view.prefilling and blocks <= swap and dice.below(2)
            how[request.id] = "swap" if swappable else "recompute"
            swap -= blocks if swappable else 0
        return how

    @staticmethod
    def _swapped_that_fit(view: ReplicaView) -> list[int]:
        free, seats, back = view.kv.free, view.limits.max_num_seqs - len(view.running), []
        for request in view.waiting.values():
            free -= view.kv.blocks_for(request.swapped_tokens)
            if request.swapped_tokens and free >= 0 and len(back) < seats:
                back.append(request.id)
        return back

    def _due(self, view: ReplicaView) -> bool:
        held = self._held
        assert held is not None
        if held.replan_at is not None and view.now >= held.replan_at:
            return True
        if held.replan_after is not None and view.iteration >= self._held_at + held.replan_after:
            return True
        return view.kv.needed_next > view.kv.free

    @staticmethod
    def _chunks(view: ReplicaView, free: int, dice: _Dice) -> dict[int, int]:
        kv, chunks = view.kv, {}
        seats = view.limits.max_num_seqs - len(view.running)
        waiting = list(view.waiting.values())[: max(0, seats)]
        tokens = view.limits.max_num_batched_tokens - len(view.running)
        for request in (*view.prefilling.values(), *waiting):
            cached, left = request.num_computed_tokens, request.num_tokens_to_prefill
            room = (free + kv.blocks_for(cached)) * kv.block_size - cached
            chunk = min(left, room, tokens, 1 + dice.below(64))
            if chunk < 1:
                break
            chunks[request.id] = chunk
            tokens -= chunk
            free -= kv.blocks_for(cached + chunk) - kv.blocks_for(cached)
        return chunks

    def on_event(self, event: PolicyEvent) -> None:
        self._held = None
        if event.kind == "arrival" and event.request is not None:
            self._seen += sum(r.num_generated_tokens for r in self._known.values())
            self._known[event.request.id] = event.request
        elif event.request is not None:
            del self._known[event.request.id]
        if event.plan is not None and not changes_more_than_decodes(event.plan):
            self._held = event.plan
            self._held_at = event.iteration


class _Dice:
    """Pseudo-random small numbers from what a view shows: asked the same, it says the same."""

    def __init__(self, seed: int, view: ReplicaView) -> None:
        seen = (seed, view.now, view.iteration, len(view.waiting), tuple(view.running), view.kv.free)
        self._bytes = blake2b(repr(seen).encode(), digest_size=64).digest()

    def below(self, n: int) -> int:
        first, self._bytes = self._bytes[:2], self._bytes[2:] + self._bytes[:1]
        return int.from_bytes(first, "big") % n
