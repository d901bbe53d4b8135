"""The requests in one replica: who waits, who runs, what they hold in the KV cache, and when they finish."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush
from math import nan

from simulator.kv_cache import KVCache
from simulator.policy import ALL, Decode, Preemption
from simulator.recorder import Recorder
from simulator.request import DecodeClock, RequestState
from simulator.speculation import Drafts
from simulator.swap_space import SwapSpace
from simulator.token_log import EventKind


class RequestPool:
    """Moves requests between waiting, prefilling, decoding and paused, and keeps count of what they hold.

    running = prefilling + decoding + paused. A decoding request is not touched at a decode step: it remembers
    the step at which it joined, `advance` moves the counts of all at once, and its finish lies in a heap.
    `output_length` is the truth by request id, kept here, where no policy gets.
    """

    __slots__ = (
        "_finish_step",
        "_finishes",
        "_kv",
        "_output_length",
        "_record",
        "_steps",
        "_swap",
        "kv_tokens",
        "num_decodes",
        "paused",
        "prefilling",
        "running",
        "waiting",
    )

    def __init__(
        self, kv: KVCache, swap: SwapSpace, steps: DecodeClock, output_length: Sequence[int], recorder: Recorder
    ) -> None:
        self.waiting: OrderedDict[int, RequestState] = OrderedDict()
        self.running: dict[int, RequestState] = {}
        self.prefilling: dict[int, RequestState] = {}
        self.paused: dict[int, RequestState] = {}
        self.num_decodes = 0
        self.kv_tokens = 0
        """K of the next decode step: Σ (cached + 1) over the decoding requests."""
        self._kv = kv
        self._swap = swap
        self._steps = steps
        self._output_length = output_length
        self._record = recorder
        self._finish_step: dict[int, int] = {}  # of every decoding request: the decode step that completes it
        self._finishes: list[tuple[int, int]] | None = []
        """Heap of (decode step, request id); an entry may be stale. None: all are, since drafts were accepted."""

    def __len__(self) -> int:
        return len(self.waiting) + len(self.running)

    # -- prefill ---------------------------------------------------------------------------------------------

    def start_prefill(self, request_id: int, now: float) -> None:
        """The request is to prefill next: it is admitted if it was waiting."""
        if request_id not in self.prefilling:
            request = self.waiting.pop(request_id)
            if request.swapped_tokens:
                self._forget_swapped(request)
            self.running[request_id] = self.prefilling[request_id] = request
            kind = EventKind.RESUME if request.num_preemptions else EventKind.ADMIT
            self._record.events.append((now, request_id, kind))

    def end_prefill(self, request: RequestState, now: float) -> bool:
        """If all its tokens are cached, `request` gets an output token. Whether that was the last of all."""
        generated = request._generated
        if request._cached < request.prompt_length + generated:
            return False
        del self.prefilling[request.id]
        request._head = request._last_token_time = now
        request._head_tokens = 1
        request._generated = generated + 1
        if not generated:
            request.first_token_time = now
        if generated + 1 < self._output_length[request.id]:
            self._join(request)
            return False
        self._record.segments.append((request.id, now, self._steps.step, 0, 1))
        return True

    # -- decode ----------------------------------------------------------------------------------------------

    def advance(self, num_steps: int, now: float) -> None:
        """Every decoding request has taken `num_steps` decode steps, the last of which ends now."""
        self._steps.time = now
        self._kv.advance(num_steps)
        self.kv_tokens += num_steps * self.num_decodes

    def accept(self, depths: Mapping[int, int], drafts: Drafts) -> None:
        """Decoding requests get those of their drafts that `drafts` accepts, with the token of the present decode step.

        Each leaves the batch and joins it again, in one go: this happens to nearly all in each iteration.
        """
        step, now, kv = self._steps.step, self._steps.time, self._kv
        running, finish_step, record = self.running, self._finish_step, self._record.segments.append
        for request_id, depth in depths.items():
            request = running[request_id]
            joined = request._joined
            num_steps = step - joined
            generated = request._generated + num_steps
            length = self._output_length[request_id]
            if more := drafts.accepted(request_id, generated - 1, depth, length):  # the step gave one more
                record((request_id, request._head, joined, num_steps, request._head_tokens))
                kv.skip(request, more)
                request._cached += num_steps + more
                request._generated = generated = generated + more
                request._joined = step
                request._head = request._last_token_time = now
                request._head_tokens = more
                self.kv_tokens += more
                finish_step[request_id] = step + length - generated
        self._finishes = None

    def next_finish(self) -> int:
        """The decode step after which the next request will be complete; somebody must be decoding."""
        finish_step = self._finish_step
        finishes = self._finishes
        if finishes is None:
            finishes = self._finishes = [(step, request_id) for request_id, step in finish_step.items()]
            heapify(finishes)
        step, request_id = finishes[0]
        while finish_step.get(request_id) != step:
            heappop(finishes)
            step, request_id = finishes[0]
        return step

    def due(self) -> list[RequestState]:
        """The decoding requests that are complete after the present decode step, by id; each is told once."""
        finishes, now = self._finishes, self._steps.step
        if finishes is None:
            ids = sorted([i for i, step in self._finish_step.items() if step <= now])
            for request_id in ids:
                del self._finish_step[request_id]
            return [self.running[request_id] for request_id in ids]
        if not finishes or finishes[0][0] > now:
            return []
        complete = []
        while finishes and finishes[0][0] <= now:
            step, request_id = heappop(finishes)
            if self._finish_step.get(request_id) == step:
                del self._finish_step[request_id]  # who was preempted and is back in time has two entries
                complete.append(self.running[request_id])
        return complete

    def any_complete(self) -> bool:
        """Whether a decoding request has all its tokens; looks at each of them."""
        decoding = (r for r in self.running.values() if r._joined >= 0)
        return any(r.num_generated_tokens >= self._output_length[r.id] for r in decoding)

    def set_decoding(self, wanted: Decode | Collection[int]) -> None:
        """Pause who is left out of a plan's decodes and resume who is in; a plan without decodes changes nobody."""
        if wanted is ALL:
            resumed = list(self.paused.values())
        elif not wanted:
            return
        else:
            chosen = set(wanted)
            resumed = [r for r in self.paused.values() if r.id in chosen]
            for request in [r for r in self.running.values() if r._joined >= 0 and r.id not in chosen]:
                self._settle(request)
                self.paused[request.id] = request
        for request in resumed:
            del self.paused[request.id]
            request._head = nan
            request._head_tokens = 0
            self._join(request)

    def _join(self, request: RequestState) -> None:
        """`request` takes part in the decode steps from the next one on."""
        request_id, step = request.id, self._steps.step
        request._joined = step
        self._kv.join(request)
        self.num_decodes += 1
        self.kv_tokens += request._cached + 1
        finish_step = step + self._output_length[request_id] - request._generated
        self._finish_step[request_id] = finish_step
        if self._finishes is not None:
            heappush(self._finishes, (finish_step, request_id))

    def _settle(self, request: RequestState) -> None:
        """`request` takes no part in decode steps any more: its counts become its own, its segment is recorded."""
        request_id, joined, head_tokens, steps = request.id, request._joined, request._head_tokens, self._steps
        num_steps = steps.step - joined
        if num_steps or head_tokens:
            self._record.segments.append((request_id, request._head, joined, num_steps, head_tokens))
        self._kv.leave(request)
        self._finish_step.pop(request_id, None)
        request._cached = cached = request._cached + num_steps
        request._generated += num_steps
        if num_steps:
            request._last_token_time = steps.time
        request._joined = -1
        self.num_decodes -= 1
        self.kv_tokens -= cached + 1

    # -- leaving ---------------------------------------------------------------------------------------------

    def preempt(self, request_id: int, how: Preemption, now: float) -> float:
        """A running request loses its cache and goes to the front of the queue; seconds that moving it takes."""
        request = self.running[request_id]
        if request._joined >= 0:
            self._settle(request)
        cached = request._cached
        self._evict(request)
        request.num_preemptions += 1
        self.waiting[request_id] = request
        self.waiting.move_to_end(request_id, last=False)
        if how == "recompute":
            self._record.events.append((now, request_id, EventKind.PREEMPT_RECOMPUTE))
            return 0.0
        request.swapped_tokens = cached
        self._swap.free -= self._kv.blocks_for(cached)
        self._record.events.append((now, request_id, EventKind.PREEMPT_SWAP))
        return cached * self._swap.seconds_per_token

    def resume(self, request_id: int, now: float) -> float:
        """A swapped request comes back, paused, its cache as it was; seconds that moving it takes."""
        request = self.waiting.pop(request_id)
        cached = request.swapped_tokens
        self._forget_swapped(request)
        request._cached = cached
        self._kv.free -= self._kv.blocks_for(cached)
        self.running[request_id] = self.paused[request_id] = request
        self._record.events.append((now, request_id, EventKind.RESUME))
        return cached * self._swap.seconds_per_token

    def _forget_swapped(self, request: RequestState) -> None:
        self._swap.free += self._kv.blocks_for(request.swapped_tokens)
        request.swapped_tokens = 0

    def remove(self, request: RequestState) -> None:
        """`request` leaves the replica, whatever it was doing."""
        if request._joined >= 0 or request.id in self.running:
            self._evict(request)
        else:
            del self.waiting[request.id]
            self._forget_swapped(request)

    def _evict(self, request: RequestState) -> None:
        """Take a running request out of the batch and its cache away."""
        request_id, kv = request.id, self._kv
        if request._joined >= 0:
            self._settle(request)
        else:
            self.prefilling.pop(request_id, None)
            self.paused.pop(request_id, None)
        kv.free += -(-request._cached // kv.block_size)
        request._cached = 0
        del self.running[request_id]

    def close(self) -> None:
        """Record what the decoding requests have so far: the run ends here."""
        for request in list(self.running.values()):
            if request._joined >= 0:
                self._settle(request)
