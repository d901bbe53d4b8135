"""Paged KV cache of one replica: how many blocks are free, and how many the coming decode steps take."""

from __future__ import annotations

from collections.abc import Collection

from simulator.request import DecodeClock, RequestState


class KVCache:
    """Block accounting: a cache of n tokens holds ceil(n / block_size) blocks (vLLM, arXiv 2309.06180, §4).

    A decode step writes one token per decoding request, which takes a new block whenever its cache is a multiple
    of the block size. Which steps those are follows from when the request joined, so `block_size` counters say
    how many new blocks each coming step takes, and nobody has to look at the requests.

    Policies read `free`, `num_blocks`, `watermark_blocks`, `block_size`, `needed_next`, `blocks_for`, `blocks_for_more`
    and `without`; the methods below them are the engine's.
    """

    __slots__ = (
        "_clock",
        "_growth",
        "block_size",
        "free",
        "needed_next",
        "num_blocks",
        "num_growing",
        "watermark_blocks",
    )

    def __init__(self, num_blocks: int, block_size: int, watermark: float, clock: DecodeClock) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.watermark_blocks = int(watermark * num_blocks)
        self.free = num_blocks
        self.num_growing = 0
        self.needed_next = 0
        """New blocks that the next decode step of all decoding requests takes."""
        self._growth = [0] * block_size
        self._clock = clock

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that a cache of `num_tokens` tokens holds."""
        return -(-num_tokens // self.block_size)

    def blocks_for_more(self, cached: int, num_tokens: int) -> int:
        """New blocks that `num_tokens` tokens take behind `cached` ones."""
        return -(-(cached + num_tokens) // self.block_size) + -cached // self.block_size

    def without(self, requests: Collection[RequestState]) -> KVCache:
        """A copy to plan with: the cache as it is once these running requests have given back their blocks."""
        rest = KVCache(self.num_blocks, self.block_size, 0.0, self._clock)
        rest.watermark_blocks, rest.num_growing = self.watermark_blocks, self.num_growing
        rest._growth, rest.needed_next = self._growth.copy(), self.needed_next
        rest.free = self.free + sum(self.blocks_for(request.num_computed_tokens) for request in requests)
        for request in requests:
            if request.decoding:
                rest.leave(request)
        return rest

    def join(self, request: RequestState) -> None:
        """Let `request`, whose cache has `_cached` tokens, grow by a token a decode step from now on."""
        cached, size = request._cached, self.block_size
        self._growth[(self._clock.step - cached) % size] += 1
        self.num_growing += 1
        if not cached % size:
            self.needed_next += 1

    def leave(self, request: RequestState) -> None:
        """End the growth of `request`, which keeps its blocks; to be called before its counts are settled."""
        size = self.block_size
        takes_at = (request._joined - request._cached) % size
        self._growth[takes_at] -= 1
        self.num_growing -= 1
        if takes_at == self._clock.step % size:
            self.needed_next -= 1

    def skip(self, request: RequestState, num_tokens: int) -> None:
        """`request` grows by so many tokens at once, ahead of the steps; to be called before its counts follow."""
        size, step, growth = self.block_size, self._clock.step, self._growth
        cached = request._cached + step - request._joined
        longer = cached + num_tokens
        self.free += -longer // size - -cached // size
        growth[(step - cached) % size] -= 1
        growth[(step - longer) % size] += 1
        self.needed_next = growth[step % size]

    def advance(self, num_steps: int) -> None:
        """All decoding requests take so many decode steps, and the blocks for them."""
        growth, size, clock = self._growth, self.block_size, self._clock
        if num_steps == 1:
            self.free -= self.needed_next
            clock.step = last = clock.step + 1
            self.needed_next = growth[last % size]
            return
        cycles, rest = divmod(num_steps, size)
        first = clock.step % size
        last = first + rest
        needed = cycles * self.num_growing + sum(growth[first:last])
        if last >= size:
            last -= size
            needed += sum(growth[:last])
        self.free -= needed
        clock.step += num_steps
        self.needed_next = growth[last]

    def needed_for(self, num_steps: int) -> int:
        """New blocks that the next `num_steps` decode steps, a few, take together."""
        growth, size, step = self._growth, self.block_size, self._clock.step
        return sum([growth[(step + i) % size] for i in range(num_steps)])

    def steps_that_fit(self, num_steps: int) -> int:
        """How many of the next `num_steps` decode steps fit into the free blocks."""
        if -(-num_steps // self.block_size) * self.num_growing <= self.free:
            return num_steps
        cycles = self.free // self.num_growing
        free = self.free - cycles * self.num_growing
        steps = cycles * self.block_size
        at = self._clock.step
        while steps < num_steps:
            free -= self._growth[(at + steps) % self.block_size]
            if free < 0:
                break
            steps += 1
        return min(steps, num_steps)
