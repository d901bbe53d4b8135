"""Whom to serve: the knapsack of Andes, by greedy packing and, as an oracle for it, exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def by_density(gain: Floats, size: Ints) -> Ints:
    """Positions by falling gain per unit of memory, equals in the order given, (n,)."""
    return np.argsort(-(gain / size), kind="stable")


def greedy(order: Ints, size: Ints, max_count: int, capacity: int) -> Bools:
    """Which items to take, (n,): those of `order` one after the other while there is room; what does not fit is left.

    Where the count limit does not bind, what is lost against the best choice is at most the largest single gain
    (the relaxation that may take a part of an item gains at least as much as the best choice). Source: Andes;
    going on after the first item that does not fit is ours, and never takes less.
    """
    taken = np.zeros(len(size), dtype=np.bool_)
    seats, room = max_count, capacity
    while seats and len(order):
        used = np.cumsum(size[order])
        num = min(seats, int(np.searchsorted(used, room, side="right")))
        taken[order[:num]] = True
        if num:
            seats -= num
            room -= int(used[num - 1])
        order = order[num:]
        order = order[size[order] <= room]
    return taken


def exact(gain: Floats, size: Ints, max_count: int, capacity: int) -> float:
    """The largest total gain of at most `max_count` items whose sizes add up to `capacity` at most.

    Dynamic programming over (items taken, memory used), O(n · max_count · capacity): for tests on small cases.
    """
    max_count = min(max_count, len(gain))
    best = np.zeros((max_count + 1, capacity + 1))
    for value, units in zip(gain.tolist(), size.tolist(), strict=True):
        if units <= capacity:
            with_it = best[:-1, : capacity + 1 - units] + value
            np.maximum(best[1:, units:], with_it, out=best[1:, units:])
    return float(best[-1, -1])
