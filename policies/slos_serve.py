"""Accept whom there is time for, and fill every batch up to the next token deadline (SLOs-Serve)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import ceil, inf
from typing import Any, NamedTuple

from pydantic import Field, PrivateAttr

from policies.admission_program import Candidate, Counts, admit, all_in_time
from policies.batch_size import can_prefill, prefill_tokens_within
from policies.deadlines import prefill_time
from policies.ordering import last_of_running
from policies.prefill_chunks import Chunks
from policies.promise import PromiseKeeper
from policies.targets import MeanLength, expected_output_length, tpot_target, ttft_target
from simulator.policy import ALL, DECODE_ALL, Decode, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState


class SlosServe(PromiseKeeper):
    """A dynamic program says who of the waiting can get a first token in time; batches end by the next token deadline.

    Token n + 1 of a request is due n·TPOT after its first. A batch lasts until the earliest of these, or, for a
    request that is late, one TPOT of it; due requests decode a token each, the rest of it prefills: accepted requests
    by deadline, then those who are late or rejected (best effort): begun ones by deadline, the others in order of
    arrival. Everybody decodes if the accepted prefills fit even so, or if there is nothing to prefill. An accepted
    request displaces best-effort ones if it lacks a seat or blocks, the latest arrival first, for recomputation; so
    does a shortage of blocks.

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
        decodes = self._decodes(view)
        begun = sorted(view.prefilling.values(), key=lambda r: (self.deadline(view, r), r.id))
        in_time = [r for r in begun if self.in_time(view, r)]
        accepted = [view.waiting[i] for i in self._accepted(view, in_time, decodes) if i in view.waiting]
        urgent = sorted(in_time + accepted, key=lambda r: (self.deadline(view, r), r.id))
        ids = {r.id for r in urgent}
        rest = [r for r in (*begun, *view.waiting.values()) if r.id not in ids]
        decode, budget = self._batch(view, decodes, sum([r.num_tokens_to_prefill for r in urgent]), bool(rest))
        chunks = Chunks(view, budget, lambda: [r for r in view.running.values() if not self.in_time(view, r)])
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

    def _accepted(self, view: ReplicaView, begun: Sequence[RequestState], decodes: _Decodes) -> Iterable[int]:
        waiting = [(d, r) for r in view.waiting.values() if (d := self.deadline(view, r)) > view.now]
        if not waiting:
            return ()
        waiting.sort(key=lambda entry: (entry[0], entry[1].id))
        mean, running = self._lengths.value, view.running.values()
        chosen = [(r, _blocks(view, (r,), mean)) for _, r in waiting[: self.max_candidates]]
        candidates = [self._candidate(view, r, 0, True) for r in begun]
        candidates += [self._candidate(view, r, blocks, False) for r, blocks in chosen]
        usable = view.kv.num_blocks - view.kv.watermark_blocks
        free = usable - _blocks(view, running, mean)
        if free < sum([blocks for _, blocks in chosen]):  # best effort would have to go
            free = usable - _blocks(view, [r for r in running if self.in_time(view, r)], mean)
        counts = (len(decodes.requests) - decodes.num_loose, decodes.num_loose)
        if all_in_time(candidates, counts, free, lambda n, rate: self._sustains(view, n, rate)):
            return [r.id for r, _ in chosen]
        return admit(candidates, counts, free, cache(lambda n: self._spare_rate(view, n)))

    def _candidate(self, view: ReplicaView, request: RequestState, blocks: int, committed: bool) -> Candidate:
        wait = self.deadline(view, request) - view.now
        return Candidate(request.id, wait, request.num_tokens_to_prefill, blocks, self.tier(request), committed)

    def _spare_rate(self, view: ReplicaView, counts: Counts) -> float:
        """Prefill tokens/s beside so many decodes at their tiers' pace, in batches of the tightest TPOT."""
        length, decodes, kv_tokens = self._paced_batch(view, counts)
        tokens, time = prefill_tokens_within(view, length, decodes, kv_tokens)
        return tokens / time if tokens or time <= length else -1.0

    def _sustains(self, view: ReplicaView, counts: Counts, rate: float) -> bool:
        """Whether `_spare_rate` is at least `rate`, by the batch that would just give it."""
        length, decodes, kv_tokens = self._paced_batch(view, counts)
        if length == inf:
            return self._spare_rate(view, counts) >= rate
        return can_prefill(view, ceil(rate * length), length, decodes, kv_tokens)

    def _paced_batch(self, view: ReplicaView, counts: Counts) -> tuple[float, int, int]:
        """The batch that `_spare_rate` looks at: its length, seconds, and its decodes and their KV tokens.

        A decode reads as many tokens as a running request holds on average, in whole blocks.
        """
        held = (view.kv.num_blocks - view.kv.free) * view.kv.block_size / max(1, len(view.running))
        length = self.tight_tpot if counts[0] else self.loose_tpot if counts[1] else inf
        decodes = counts[0] + round(counts[1] * (length / self.loose_tpot if length < inf else 0.0))
        return length, decodes, int(held * decodes)

    # -- the batch -------------------------------------------------------------------------------------------

    def _batch(
        self, view: ReplicaView, decodes: _Decodes, wanted: int, more: bool
    ) -> tuple[Decode | tuple[int, ...], int]:
        """Who decodes, and how many tokens may prefill along.

        wanted: tokens of the accepted requests. more: whether others want what there is beyond these.
        """
        length, num_decodes, kv_tokens = decodes.binding, len(decodes.requests), decodes.kv_tokens
        if can_prefill(view, wanted, length, num_decodes, kv_tokens):
            return ALL, prefill_tokens_within(view, length, num_decodes, kv_tokens)[0] if more else wanted
        due = decodes.due_within(length + decodes.tightest)
        tokens, _ = prefill_tokens_within(view, length, len(due), sum([request.num_tokens for request in due]))
        return tuple([request.id for request in due]), tokens

    def _decodes(self, view: ReplicaView) -> _Decodes:
        loose, tight, now, prefilling = self.loose_tpot, self.tight_tpot, view.now, view.prefilling
        requests = [request for request in view.running.values() if request.id not in prefilling]
        slack: list[float] = []
        binding = tightest = inf
        num_loose = kv_tokens = 0
        for request in requests:
            tokens = request.num_generated_tokens
            tpot = loose if tpot_target(request, loose) >= loose else tight
            left = request.first_token_time + tokens * tpot - now
            slack.append(left)
            lasts = left if left >= 0.0 else tpot
            if lasts < binding:
                binding = lasts
            if tpot < tightest:
                tightest = tpot
            if tpot == loose:
                num_loose += 1
            kv_tokens += request.prompt_length + tokens
        return _Decodes(requests, slack, binding, tightest, num_loose, kv_tokens)


class _Decodes(NamedTuple):
    """The decoding requests, and what they let a batch do."""

    requests: list[RequestState]
    slack: list[float]
    """Time of each to its next deadline, seconds."""
    binding: float
    """How long a batch may last: the least slack, of who is late its TPOT, seconds."""
    tightest: float
    """The least TPOT, seconds."""
    num_loose: int
    """Of the loose tier."""
    kv_tokens: int
    """Their contexts, the tokens being fed included."""

    def due_within(self, time: float) -> list[RequestState]:
        """Those whose next deadline is less than `time` seconds away."""
        return [request for request, slack in zip(self.requests, self.slack, strict=True) if slack < time]


def _blocks(view: ReplicaView, requests: Iterable[RequestState], mean: float) -> int:
    """What `requests` will hold in the end, outputs having `mean` tokens where nobody predicted."""
    size = view.kv.block_size
    return sum([-(-(r.prompt_length + int(expected_output_length(r, mean))) // size) for r in requests])
