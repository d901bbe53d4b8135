"""Whom Andes would serve: for several batch sizes, pack by gain per block, and keep the best."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, NamedTuple

import numpy as np

from policies.andes.knapsack import Bools, Floats, Ints, by_density, greedy
from policies.andes.outlook import Outlook
from policies.andes.standing import Standing
from simulator.latency import Batch

Objective = Literal["average", "max_min", "perfect"]
PERFECT = 0.99
"""QoE from which it counts as perfect (Andes)."""


class Selection(NamedTuple):
    """Whom to serve together, (n,), with the order of priority (positions), gains and tokens/s that it follows from.

    seats: how many may run at once.
    """

    serve: Bools
    order: Ints
    gain: Floats
    seats: int
    rate: float


def select(standing: Standing, objective: Objective, num_batch_sizes: int) -> Selection:
    """The best of the greedy packings over the batch sizes from B_min to B_max, both included.

    B_max: as many of the shortest contexts as fit. B_min: the largest batch whose iteration beats the strictest
    reader. Below it everybody reads at full speed, so B_max alone is tried where it is no larger. Source: Andes.
    Deviation: at most `num_batch_sizes` evenly spread sizes are tried.
    """
    view = standing.view
    capacity = view.kv.num_blocks - view.kv.watermark_blocks
    shortest = np.cumsum(np.sort(standing.blocks))
    seats = view.limits.max_num_seqs
    largest = min(seats, int(np.searchsorted(shortest, capacity, side="right")))
    waiting = standing.outlook.if_left_waiting()
    best: Selection | None = None
    most = -1.0
    for batch_size in _batch_sizes(standing, largest, num_batch_sizes):
        rate = 1.0 / _step_time(standing, batch_size)
        gain = _gain(standing.outlook, waiting, rate, objective)
        order = by_density(gain, standing.blocks)
        serve = greedy(order, standing.blocks, batch_size, capacity)
        total = float(gain[serve].sum())
        if total > most:
            most = total
            best = Selection(serve, order, gain, seats if batch_size == largest else batch_size, rate)
    assert best is not None
    return best


def _gain(outlook: Outlook, waiting: Floats, rate: float, objective: Objective) -> Floats:
    """What serving each request at `rate` gains over letting it wait, (n,), ≥ 0. Source: Andes v1."""
    if objective == "average":
        return np.maximum(outlook.if_served(rate) - waiting, 0.0)
    now = outlook.now()
    if objective == "max_min":
        return np.maximum(float(now.min()) - waiting, 0.0)
    saved = (outlook.if_served(rate) >= PERFECT) & (waiting < PERFECT) & (now >= PERFECT)
    return saved.astype(np.float64)


def _batch_sizes(standing: Standing, largest: int, num: int) -> list[int]:
    """Batch sizes to try, the largest first."""
    strictest = float(standing.readers.speed.max())
    if _step_time(standing, largest) * strictest <= 1.0:
        return [largest]
    sizes = range(1, largest + 1)
    fast_enough = bisect_right(sizes, 1.0, key=lambda size: _step_time(standing, size) * strictest)
    smallest = max(1, fast_enough)
    return sorted({round(size) for size in np.linspace(smallest, largest, num)}, reverse=True)


def _step_time(standing: Standing, batch_size: int) -> float:
    """Duration of a decode iteration of so many requests of mean context, seconds."""
    view = standing.view
    blocks = min(batch_size * float(standing.blocks.mean()), view.kv.num_blocks)
    tokens = round(blocks * view.kv.block_size)
    return view.predict_step_time(Batch(0, 0, 0, batch_size, tokens, batch_size))
