"""What of the prompts goes into one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from policies.ordering import Victims, by_arrival
from simulator.policy import ReplicaView
from simulator.request import RequestState


class Chunks:
    """The prefill of one batch: chunks within a budget of tokens, whole prompts within blocks and seats.

    preempt: those of `expendable`, from the latest arrival, whose room is needed.
    """

    def __init__(self, view: ReplicaView, budget: int, expendable: Callable[[], list[RequestState]]) -> None:
        kv = view.kv
        self._view = view
        self._budget = budget
        self._expendable = expendable
        self._free = kv.free - kv.needed_next
        self._seats = view.limits.max_num_seqs - len(view.running)
        self._set_aside = {i: self._blocks(r, r.num_tokens_to_prefill) for i, r in view.prefilling.items()}
        self.prefill: dict[int, int] = {}
        self.preempt: Victims = {}

    def fill(self, requests: Iterable[RequestState], *, displace: bool) -> None:
        """Add chunks of `requests` in order; the first new one that does not fit holds up the rest."""
        for request in requests:
            if self._budget <= 0:
                return
            if request.id in self.preempt:
                continue
            if request.id in self._view.waiting and not self._admits(request, displace):
                return
            self._add(request)

    def _blocks(self, request: RequestState, tokens: int) -> int:
        kv, cached = self._view.kv, request.num_computed_tokens
        return kv.blocks_for(cached + tokens) - kv.blocks_for(cached)

    def _admits(self, request: RequestState, displace: bool) -> bool:
        kv = self._view.kv
        missing = self._blocks(request, request.num_tokens_to_prefill) + sum(self._set_aside.values())
        missing -= self._free - kv.watermark_blocks
        seats = self._seats
        victims: list[RequestState] = []
        usable: list[RequestState] = []
        if displace and (missing > 0 or seats < 1):
            taken = self.preempt.keys() | self.prefill.keys()
            usable = sorted((r for r in self._expendable() if r.id not in taken), key=by_arrival)
        while (missing > 0 or seats < 1) and usable:
            victim = usable.pop()
            victims.append(victim)
            missing -= kv.blocks_for(victim.num_computed_tokens) + self._set_aside.get(victim.id, 0)
            seats += 1
        if missing > 0 or seats < 1:
            return False
        for victim in victims:
            self.preempt[victim.id] = "recompute"
            self._set_aside.pop(victim.id, None)
            self._free += kv.blocks_for(victim.num_computed_tokens)
        self._seats = seats - 1
        self._set_aside[request.id] = self._blocks(request, request.num_tokens_to_prefill)
        return True

    def _add(self, request: RequestState) -> None:
        kv, cached = self._view.kv, request.num_computed_tokens
        room = (self._free + kv.blocks_for(cached)) * kv.block_size - cached
        chunk = min(request.num_tokens_to_prefill, self._budget, room)
        if chunk > 0:
            self.prefill[request.id] = chunk
            self._free -= self._blocks(request, chunk)
            self._set_aside[request.id] -= self._blocks(request, chunk)
            self._budget -= chunk
