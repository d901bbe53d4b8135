"""When there is more to serve than can be served well: the triggers of Andes' scheduler."""

from __future__ import annotations

from math import inf, isnan
from typing import NamedTuple

from simulator.latency import Batch
from simulator.policy import ReplicaView


class Pressure(NamedTuple):
    """The triggers. Source: Andes (the first two); the third is ours.

    kv_use: share of the blocks in use above which there is pressure, as there is when decodes are short of blocks.
    queue: whether a request that cannot be admitted now, for lack of seats or blocks, is pressure too. Where
    max_num_seqs binds before memory does, neither of the paper's two fires.
    speed: of readers of whom nobody said, tokens/s.
    """

    kv_use: float
    queue: bool
    speed: float

    def on(self, view: ReplicaView) -> bool:
        """Whether any trigger fires. Contexts are counted in whole blocks for the iteration's time."""
        kv = view.kv
        used = kv.num_blocks - kv.free
        if used > self.kv_use * kv.num_blocks or kv.needed_next > kv.free:
            return True
        if self.queue and view.waiting and _cannot_all_enter(view):
            return True
        decodes = view.num_decodes
        if not decodes:
            return False
        batch = Batch(0, 0, 0, decodes, used * kv.block_size, decodes)
        return view.predict_step_time(batch) * self.strictest(view) > 1.0

    def strictest(self, view: ReplicaView) -> float:
        """The highest speed of the readers of running requests, tokens/s."""
        speeds = [request.speed for request in view.running.values()]
        if isnan(sum(speeds)):  # somebody's is unknown
            speeds = [self.speed if isnan(speed) else speed for speed in speeds]
        return max(speeds, default=-inf)


def _cannot_all_enter(view: ReplicaView) -> bool:
    kv = view.kv
    if len(view.waiting) > view.limits.max_num_seqs - len(view.running):
        return True
    free = kv.free - kv.watermark_blocks
    for request in view.waiting.values():
        free -= kv.blocks_for(request.num_tokens)
        if free < 0:
            return True
    return False
