"""Accept whom there is time for, and fill every batch up to the next token deadline (SLOs-Serve)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from math import inf
from typing import Any, NamedTuple

from pydantic import Field, PrivateAttr

from policies.admission_program import Candidate, Counts, admit
from policies.batch_size import prefill_tokens_within
from policies.deadlines import prefill_time
from policies.ordering import Victims, by_arrival, last_of_running
from policies.promise import PromiseKeeper
from policies.targets import MeanLength, expected_output_length, tpot_target, ttft_target
from simulator.policy import ALL, DECODE_ALL, Decode, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState


class SlosServe(PromiseKeeper):
    """A dynamic program says who of the waiting can get a first token in time; batches end by the next token deadline.

    Token n + 1 of a request is due n·TPOT after its first. A batch lasts until the earliest of these, or, for a
    request that is late, one TPOT of it; due requests decode a token each, the rest of it prefills: accepted requests
    by deadline, then those who are late or rejected (best effort), in order of arrival. Everybody decodes if the
    accepted prefills fit even so, or if there is nothing to prefill. An accepted request displaces best-effort ones
    if it lacks a seat or blocks, the latest arrival first, for recomputation; so does a shortage of blocks.

    A request is due if its token is, before a batch of the tightest TPOT could follow this one. TTFT is the SLO's, or
    else `slowdown` times the prefill alone. A request's tier is the looser one that its TPOT allows; the tighter one
    if neither does. Blocks are counted for the prompt and the predicted output, or else the mean of those finished.

    Source: SLOs-Serve (arXiv 2504.08784), whose slowdowns are 3 and 5 and whose tiers are 50 and 100 ms. Open there,
    chosen here: who waits is decided upon anew until its prefill begins; profit is one a request; the program looks at
    the first `max_candidates` deadlines. Left out: speculative decoding, and routing the rejected elsewhere.
    """

    name = "slos_serve"

    slowdown: float = Field(default=3.0, gt=0, description="TTFT over the prefill alone, where no TTFT was promised")
    tight_tpot: float = Field(default=0.05, gt=0, description="s: TPOT of the tight tier")
    loose_tpot: float = Field(default=0.1, gt=0, description="s: TPOT of the loose tier, and where none was promised")
    max_candidates: int = Field(default=8, ge=1, description="waiting requests that the program looks at")
    output_length: float = Field(default=256.0, ge=1, description="tokens expected before anybody has finished")

    _lengths: MeanLength = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Start without any experience."""
        self._lengths = MeanLength(self.output_length)

    def note(self, event: PolicyEvent) -> None:
        """Learn output lengths."""
        if event.kind == "finish" and event.request is not None:
            self._lengths.add(event.request)

    def decide(self, view: ReplicaView) -> StepPlan:
        """Fill a batch up to the next token deadline; decode everyone if there is nothing to prefill."""
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=last_of_running(view, lambda r: self._seniority(view, r)))
        if not (view.waiting or view.prefilling):
            return DECODE_ALL
        slots = self._slots(view)
        begun = sorted(view.prefilling.values(), key=lambda r: (self.deadline(view, r), r.id))
        in_time = [r for r in begun if self.in_time(view, r)]
        accepted = [view.waiting[i] for i in self._accepted(view, in_time, slots) if i in view.waiting]
        urgent = sorted(in_time + accepted, key=lambda r: (self.deadline(view, r), r.id))
        ids = {r.id for r in urgent}
        rest = [r for r in (*begun, *view.waiting.values()) if r.id not in ids]
        decode, budget = self._batch(view, slots, sum([r.num_tokens_to_prefill for r in urgent]))
        chunks = _Chunks(view, budget, lambda: [r for r in view.running.values() if not self.in_time(view, r)])
        chunks.fill(urgent, displace=True)
        chunks.fill(rest, displace=False)
        if chunks.prefill:
            left = decode if decode is ALL else tuple(i for i in decode if i not in chunks.preempt)
            return StepPlan(chunks.prefill, left, chunks.preempt)
        if view.num_decodes:
            return StepPlan(replan_after=1) if budget <= 0 else DECODE_ALL
        return StepPlan(preempt={max(view.running.values(), key=lambda r: self._seniority(view, r)).id: "recompute"})

    # -- who is to be served when ----------------------------------------------------------------------------

    def deadline(self, view: ReplicaView, request: RequestState) -> float:
        """When the first token of `request` is due, seconds."""
        ttft = ttft_target(request, inf)
        return request.arrival + (ttft if ttft < inf else self.slowdown * prefill_time(view, request.prompt_length))

    def in_time(self, view: ReplicaView, request: RequestState) -> bool:
        """Whether the first token of `request` came in time, or still can."""
        first = request.first_token_time if request.num_generated_tokens else view.now
        return first <= self.deadline(view, request)

    def tier(self, request: RequestState) -> int:
        """0: tight, 1: loose."""
        return int(tpot_target(request, self.loose_tpot) >= self.loose_tpot)

    def _seniority(self, view: ReplicaView, request: RequestState) -> Any:
        return not self.in_time(view, request), request.arrival, request.id

    # -- admission -------------------------------------------------------------------------------------------

    def _accepted(self, view: ReplicaView, begun: Sequence[RequestState], slots: Sequence[_Slot]) -> Iterable[int]:
        waiting = [(d, r) for r in view.waiting.values() if (d := self.deadline(view, r)) >= view.now]
        if not waiting:
            return ()
        waiting.sort(key=lambda entry: (entry[0], entry[1].id))
        loose_tpot, mean, running = self.loose_tpot, self._lengths.value, view.running.values()
        loose = sum([slot.tpot == loose_tpot for slot in slots])
        chosen = [(r, _blocks(view, r, mean)) for _, r in waiting[: self.max_candidates]]
        candidates = [self._candidate(view, r, 0, True) for r in begun]
        candidates += [self._candidate(view, r, blocks, False) for r, blocks in chosen]
        usable = view.kv.num_blocks - view.kv.watermark_blocks
        free = usable - sum([_blocks(view, r, mean) for r in running])
        if free < sum([blocks for _, blocks in chosen]):  # best effort would have to go
            free = usable - sum([_blocks(view, r, mean) for r in running if self.in_time(view, r)])
        return admit(candidates, (len(slots) - loose, loose), free, cache(lambda n: self._spare_rate(view, n)))

    def _candidate(self, view: ReplicaView, request: RequestState, blocks: int, committed: bool) -> Candidate:
        wait = self.deadline(view, request) - view.now
        return Candidate(request.id, wait, request.num_tokens_to_prefill, blocks, self.tier(request), committed)

    def _spare_rate(self, view: ReplicaView, counts: Counts) -> float:
        """Prefill tokens/s beside so many decodes at their tiers' pace, in batches of the tightest TPOT."""
        held = (view.kv.num_blocks - view.kv.free) * view.kv.block_size / max(1, len(view.running))
        length = self.tight_tpot if counts[0] else self.loose_tpot if counts[1] else inf
        decodes = counts[0] + round(counts[1] * (length / self.loose_tpot if length < inf else 0.0))
        tokens, time = prefill_tokens_within(view, length, decodes, int(held * decodes))
        return tokens / time if tokens or time <= length else -1.0

    # -- the batch -------------------------------------------------------------------------------------------

    def _batch(self, view: ReplicaView, slots: Sequence[_Slot], wanted: int) -> tuple[Decode | tuple[int, ...], int]:
        """Who decodes, and how many tokens may prefill along, `wanted` of them for requests that were accepted."""
        length = min([slot.binding for slot in slots], default=inf)
        all_tokens = sum([slot.context for slot in slots])
        tokens, _ = prefill_tokens_within(view, length, len(slots), all_tokens)
        if tokens >= wanted:
            return ALL, tokens
        tightest = min([slot.tpot for slot in slots], default=inf)
        due = [slot for slot in slots if slot.slack < length + tightest]
        tokens, _ = prefill_tokens_within(view, length, len(due), sum([slot.context for slot in due]))
        return tuple(slot.id for slot in due), tokens

    def _slots(self, view: ReplicaView) -> list[_Slot]:
        loose, tight, now, prefilling = self.loose_tpot, self.tight_tpot, view.now, view.prefilling
        slots = []
        for request in view.running.values():
            if request.id not in prefilling:
                tpot = loose if tpot_target(request, loose) >= loose else tight
                slack = request.first_token_time + request.num_generated_tokens * tpot - now
                binding = slack if slack >= 0.0 else tpot
                slots.append(_Slot(request.id, request.num_computed_tokens + 1, tpot, slack, binding))
        return slots


def _blocks(view: ReplicaView, request: RequestState, mean: float) -> int:
    """What `request` will hold in the end, outputs having `mean` tokens where nobody predicted."""
    return view.kv.blocks_for(request.prompt_length + int(expected_output_length(request, mean)))


class _Slot(NamedTuple):
    """A decoding request: slack is the time to its next deadline, `binding` what it lets a batch last, seconds."""

    id: int
    context: int
    tpot: float
    slack: float
    binding: float


class _Chunks:
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
