"""From whom to serve to a plan: who is preempted for whom, how, and what this iteration runs."""

from __future__ import annotations

from typing import Any

from policies.andes.guards import Eviction, Guard, cheapest_eviction
from policies.andes.selection import Selection
from policies.andes.standing import Standing
from policies.ordering import relief
from simulator.policy import NONE, StepPlan
from simulator.request import RequestState


class Exchange:
    """Takes newcomers in by priority, preempting those of the running who were not selected, least gain first.

    It stops at the first newcomer for whom there is no room or whom the guard refuses. A prefill runs whole prompts
    in an iteration of its own, as in fcfs; swapped requests come back and decode with the others at once. Which of
    the two an iteration does is up to the first newcomer.
    """

    def __init__(self, standing: Standing, selection: Selection, guard: Guard) -> None:
        view = standing.view
        self._standing = standing
        self._selection = selection
        self._guard = guard
        self._kv = view.kv
        least_first = selection.order[::-1]
        running = least_first[least_first < standing.num_running]
        chosen = selection.serve[running]
        self._expendable: list[int] = running[~chosen].tolist()
        self._last_resort: list[int] = running[chosen].tolist()
        self._free = view.kv.free - view.kv.needed_next
        self._seats = selection.seats - standing.num_running
        self._swap_blocks = view.swap.free
        self._gone: dict[int, Eviction] = {}

    def plan(self, quantum: int) -> StepPlan:
        """Make up for a shortage of blocks, else exchange; ask again after `quantum` iterations."""
        prefill: dict[int, int] = {}
        resume: tuple[int, ...] = ()
        if self._free < 0:
            self._make_up_for_shortage()
        else:
            prefill, resume = self._take_in()
            self._shrink()
        changes: dict[str, Any] = {}
        if self._gone:
            changes["preempt"] = {int(self._standing.ids[i]): eviction.how for i, eviction in self._gone.items()}
        if prefill:
            changes |= {"prefill": prefill, "decode": NONE}
        if resume:
            changes["resume"] = resume
        return StepPlan(**changes, replan_after=quantum)

    def _make_up_for_shortage(self) -> None:
        """Nobody asks the guard: somebody has to go."""
        for victim in self._expendable + self._last_resort:
            if self._free >= 0:
                break
            self._gone |= self._evictions([victim])
            self._free += relief(self._kv, self._standing.request(victim))

    def _take_in(self) -> tuple[dict[int, int], tuple[int, ...]]:
        prefill: dict[int, int] = {}
        resume: list[int] = []
        budget = self._standing.view.limits.max_num_batched_tokens
        for position in self._newcomers():
            request = self._standing.request(position)
            if (resume and not request.swapped_tokens) or (prefill and request.swapped_tokens):
                continue
            tokens = request.num_tokens_to_prefill
            if (prefill and tokens > budget) or not self._make_room(position, request):
                break
            if request.swapped_tokens:
                resume.append(request.id)
            else:
                prefill[request.id] = tokens
                budget -= tokens
        return prefill, tuple(resume)

    def _newcomers(self) -> list[int]:
        """Those selected who wait, best first."""
        order = self._selection.order
        newcomers: list[int] = order[(order >= self._standing.num_running) & self._selection.serve[order]].tolist()
        return newcomers

    def _make_room(self, position: int, request: RequestState) -> bool:
        """Seat `request`, in place of as few as do, if the guard allows it."""
        needed = self._kv.blocks_for(request.num_tokens + 1)
        free, seats = self._free, self._seats
        num_victims = 0
        while free - self._kv.watermark_blocks < needed or seats < 1:
            if num_victims == len(self._expendable):
                return False
            free += relief(self._kv, self._standing.request(self._expendable[num_victims]))
            seats += 1
            num_victims += 1
        if num_victims and not self._exchanged(position, num_victims):
            return False
        self._free, self._seats = free - needed, seats - 1
        return True

    def _shrink(self) -> None:
        """Preempt the least of the rest where a smaller batch is better, if the guard allows it."""
        if self._seats < 0:
            self._exchanged(None, min(-self._seats, len(self._expendable)))

    def _exchanged(self, newcomer: int | None, num_victims: int) -> bool:
        """Preempt so many of the expendable, if the guard allows it."""
        evictions = self._evictions(self._expendable[:num_victims])
        gone = self._gone | evictions
        overhead = sum(eviction.overhead for eviction in gone.values())
        if not self._guard.allows(newcomer, list(gone), overhead):
            return False
        self._gone = gone
        del self._expendable[:num_victims]
        return True

    def _evictions(self, victims: list[int]) -> dict[int, Eviction]:
        """How to preempt each of `victims`; what is swapped for good is taken off the swap space by `_swap_left`."""
        left = self._swap_left()
        evictions: dict[int, Eviction] = {}
        for victim in victims:
            request = self._standing.request(victim)
            evictions[victim] = cheapest_eviction(request, self._standing.view, left)
            if evictions[victim].how == "swap":
                left -= self._kv.blocks_for(request.num_computed_tokens)
        return evictions

    def _swap_left(self) -> int:
        swapped = [i for i, eviction in self._gone.items() if eviction.how == "swap"]
        return self._swap_blocks - sum(
            self._kv.blocks_for(self._standing.request(i).num_computed_tokens) for i in swapped
        )
