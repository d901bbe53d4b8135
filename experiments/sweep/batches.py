"""Which cells go to a worker together: neighbours with the same workload, which it then makes and judges once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")
MOST = 4
"""Cells that a worker has in hand together: what is not handed in is lost with it."""


def take_batch(waiting: deque[A], workload: Callable[[A], object], num_workers: int, most: int = MOST) -> list[A]:
    """Up to `most` neighbours with one workload, taken from the left; nothing if nothing waits.

    Fewer towards the end, where a worker would work on while others have nothing left; one where there is one worker,
    who has them all.
    """
    most = min(most, max(len(waiting) // (2 * num_workers), 1)) if num_workers > 1 else 1
    batch: list[A] = []
    while waiting and len(batch) < most and (not batch or workload(waiting[0]) == workload(batch[0])):
        batch.append(waiting.popleft())
    return batch


def each(call: Callable[[A], R], batch: Iterable[A]) -> list[R]:
    """What `call` returns for each of the batch: what a worker is given to do."""
    return [call(one) for one in batch]
