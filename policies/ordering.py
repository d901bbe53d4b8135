"""What ordered policies share: a queue kept sorted, who of it fits, and whom a shortage of blocks takes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Literal

from simulator.kv_cache import KVCache
from simulator.policy import ReplicaView
from simulator.request import RequestState

Victims = dict[int, Literal["recompute"]]


class SortedIds:
    """Request ids in order of a number that each was given, equal ones by id.

    Kept sorted as requests come and go, so that nobody sorts a long queue at every plan.
    """

    __slots__ = ("_entries", "_number")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []
        self._number: dict[int, float] = {}

    def put(self, request_id: int, number: float) -> None:
        """Give `request_id` this number instead of what it had, if any."""
        self.discard(request_id)
        self._number[request_id] = number
        insort(self._entries, (number, request_id))

    def discard(self, request_id: int) -> None:
        """Forget `request_id` if it is there."""
        number = self._number.pop(request_id, None)
        if number is not None:
            del self._entries[bisect_left(self._entries, (number, request_id))]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Pairs of (number, id), the smallest first."""
        return iter(self._entries)

    def present(self, requests: Mapping[int, RequestState]) -> Iterator[RequestState]:
        """Those of `requests` whose ids are here, the smallest number first."""
        return (request for _, i in self._entries if (request := requests.get(i)) is not None)

    def up_to(self, number: float) -> list[int]:
        """The ids whose number is at most `number`."""
        entries = self._entries
        if not entries or entries[0][0] > number:
            return []
        return [i for _, i in entries[: bisect_right(entries, (number, inf))]]

    def next_after(self, number: float) -> float:
        """The smallest number above `number`; inf if there is none."""
        at = bisect_right(self._entries, (number, inf))
        return self._entries[at][0] if at < len(self._entries) else inf


def admissible(view: ReplicaView, order: Iterable[RequestState], num_seqs: int | None = None) -> dict[int, int]:
    """Tokens to prefill by id: the waiting requests that fit, whole, in this order.

    A request fits if there are a seat (max_num_seqs, or `num_seqs` if that is fewer), room among the batched
    tokens and KV blocks beyond the watermark; the first that does not holds up the rest. A prompt above
    max_num_batched_tokens goes alone.
    """
    limits, kv = view.limits, view.kv
    seats = (limits.max_num_seqs if num_seqs is None else min(num_seqs, limits.max_num_seqs)) - len(view.running)
    prefill: dict[int, int] = {}
    if seats <= 0:
        return prefill
    free = kv.free - kv.watermark_blocks
    budget = limits.max_num_batched_tokens
    for request in order:
        tokens = request.num_tokens_to_prefill
        blocks = kv.blocks_for(tokens)
        if blocks > free or (tokens > budget and prefill) or len(prefill) == seats:
            break
        prefill[request.id] = tokens
        free -= blocks
        budget -= tokens
    return prefill


def by_arrival(request: RequestState) -> tuple[float, int]:
    """Sorts requests in order of arrival."""
    return request.arrival, request.id


def last_of_running(view: ReplicaView, order: Callable[[RequestState], Any] = by_arrival) -> Victims:
    """The fewest running requests, from the end of `order`, whose preemption lets the others decode.

    Empty if the blocks suffice. A victim gives back its blocks, and the new block that it would have taken.
    """
    victims: Victims = {}
    shortage = view.kv.needed_next - view.kv.free
    ordered = sorted(view.running.values(), key=order) if shortage > 0 else []
    while shortage > 0:
        victim = ordered.pop()
        victims[victim.id] = "recompute"
        shortage -= relief(view.kv, victim)
    return victims


def fewest_that_make_room(
    view: ReplicaView,
    expendable: Sequence[RequestState],
    missing: int,
    gives: Callable[[KVCache, RequestState], int],
) -> list[int] | None:
    """Ids of the fewest, from the end of `expendable`, whose preemption leaves a seat and `missing` more blocks.

    gives: blocks that the preemption of one gives back. None if that of all does not leave enough.
    """
    no_seat = len(view.running) >= view.limits.max_num_seqs
    victims: list[int] = []
    for victim in reversed(expendable):
        if missing <= 0 and (victims or not no_seat):
            break
        victims.append(victim.id)
        missing -= gives(view.kv, victim)
    return None if missing > 0 or (no_seat and not victims) else victims


def held(kv: KVCache, request: RequestState) -> int:
    """Blocks that its preemption gives back."""
    return kv.blocks_for(request.num_computed_tokens)


def relief(kv: KVCache, request: RequestState) -> int:
    """Blocks that its preemption gives back, and the one that its next token would have taken."""
    cached = request.num_computed_tokens
    return kv.blocks_for(cached) + (request.decoding and cached % kv.block_size == 0)
