"""Who has read all there is goes first; whose buffer is full can wait (TokenFlow)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from policies.deadlines import prefill_time
from policies.ordering import admissible, fewest_that_make_room, held, last_of_running, relief
from policies.promise import PromiseKeeper
from policies.targets import reading_speed
from simulator.policy import DECODE_ALL, NONE, Preemption, ReplicaView, StepPlan
from simulator.request import RequestState


class TokenFlow(PromiseKeeper):
    """Preempts the fullest buffers for those who have little or nothing to read.

    The buffer of a request is what its reader has yet to read, in seconds of reading: tokens/speed − time since the
    first token; of one without tokens, minus the time it has waited. The emptiest buffers are admitted first, whole
    prompts in an iteration of their own; swapped requests come back and decode at once. If the first in line has
    less than `resume_below` and does not fit, running requests with more than `preempt_above` make room, the fullest
    first. A victim is swapped if there is swap space and moving its cache twice takes less than prefilling it again.
    While somebody waits, it looks again every `quantum` iterations. When the decodes run out of blocks, the fullest
    buffers go.

    Source: TokenFlow (arXiv 2510.02758). Open there or chosen here: both thresholds, the quantum and the default
    speed. Deviations: buffers decide alone, without the paper's search over a working set; caches are written to the
    host when they are preempted, not ahead of time in the background.
    """

    name = "tokenflow"

    resume_below: float = Field(default=1.0, description="s of reading: a smaller buffer may displace others")
    preempt_above: float = Field(default=4.0, description="s of reading: a larger buffer may be displaced")
    quantum: int = Field(default=10, ge=1, description="iterations between two looks at the buffers")
    speed: float = Field(default=10.0, gt=0, description="tokens/s: of a reader who did not say")

    def buffer(self, request: RequestState, now: float) -> float:
        """What is there and not yet read, seconds; negative: how long the reader has been waiting."""
        num_tokens = request.num_generated_tokens
        if not num_tokens:
            return request.arrival - now
        return num_tokens / reading_speed(request, self.speed) - (now - request.first_token_time)

    def decide(self, view: ReplicaView) -> StepPlan:
        """Bring in who fits, the emptiest buffers first, or make room for the emptiest; else decode everyone."""
        plan = self._bring_in(view) if view.waiting else None
        if plan is not None:
            return plan
        if view.kv.needed_next > view.kv.free:
            return StepPlan(preempt=self._swapped_if_cheaper(view, last_of_running(view, self._by_buffer(view).get)))
        return StepPlan(replan_after=self.quantum) if view.waiting else DECODE_ALL

    def _by_buffer(self, view: ReplicaView) -> _Order:
        return _Order(self, view.now)

    def _bring_in(self, view: ReplicaView) -> StepPlan | None:
        queue = sorted(view.waiting.values(), key=self._by_buffer(view).get)
        first = queue[0]
        if first.swapped_tokens:
            if back := _that_can_come_back(view, queue):
                return StepPlan(resume=back)
        elif prefill := admissible(view, _before_swapped(queue)):
            return StepPlan(prefill=prefill, decode=NONE)
        if self.buffer(first, view.now) < self.resume_below:
            return self._displace(view, first)
        return None

    def _displace(self, view: ReplicaView, newcomer: RequestState) -> StepPlan | None:
        """`newcomer` in place of the fewest full buffers, the fullest first; None if they do not make room enough."""
        full = [r for r in view.running.values() if self.buffer(r, view.now) > self.preempt_above]
        full.sort(key=self._by_buffer(view).get)
        missing = _blocks_to_start(view, newcomer) + view.kv.watermark_blocks - view.kv.free
        victims = fewest_that_make_room(view, full, missing, relief if newcomer.swapped_tokens else held)
        if victims is None:
            return None
        preempt = self._swapped_if_cheaper(view, victims)
        if newcomer.swapped_tokens:
            return StepPlan(resume=(newcomer.id,), preempt=preempt)
        return StepPlan(prefill={newcomer.id: newcomer.num_tokens_to_prefill}, decode=NONE, preempt=preempt)

    def _swapped_if_cheaper(self, view: ReplicaView, victims: Iterable[int]) -> dict[int, Preemption]:
        how: dict[int, Preemption] = {}
        free = view.swap.free
        for request_id in victims:
            cached = view.running[request_id].num_computed_tokens
            blocks = view.kv.blocks_for(cached)
            moving = 2.0 * cached * view.swap.seconds_per_token
            swap = request_id not in view.prefilling and blocks <= free and moving < prefill_time(view, cached)
            how[request_id] = "swap" if swap else "recompute"
            free -= blocks if swap else 0
        return how


class _Order:
    """Sorts requests by their buffers at a time, equal ones by (arrival, id)."""

    def __init__(self, policy: TokenFlow, now: float) -> None:
        self._policy, self._now = policy, now

    def get(self, request: RequestState) -> tuple[float, float, int]:
        """The key to sort by."""
        return self._policy.buffer(request, self._now), request.arrival, request.id


def _before_swapped(queue: Sequence[RequestState]) -> Iterator[RequestState]:
    for request in queue:
        if request.swapped_tokens:
            return
        yield request


def _blocks_to_start(view: ReplicaView, request: RequestState) -> int:
    """Blocks that its prefill takes, or its return along with the decode of all."""
    if request.swapped_tokens:
        return view.kv.blocks_for(request.swapped_tokens + 1) + view.kv.needed_next
    return view.kv.blocks_for(request.num_tokens_to_prefill)


def _that_can_come_back(view: ReplicaView, queue: Sequence[RequestState]) -> tuple[int, ...]:
    """Swapped requests from the head of the queue for which there are seats and blocks, those for a decode included."""
    kv = view.kv
    free = kv.free - kv.watermark_blocks - kv.needed_next
    seats = view.limits.max_num_seqs - len(view.running)
    back: list[int] = []
    for request in queue:
        free -= kv.blocks_for(request.swapped_tokens + 1)
        if not request.swapped_tokens or free < 0 or len(back) >= seats:
            break
        back.append(request.id)
    return tuple(back)
