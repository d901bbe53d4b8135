"""What keeps Andes from preempting more than it gains by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from policies.andes.selection import Selection
from policies.andes.standing import Standing
from simulator.latency import Batch
from simulator.policy import Preemption, ReplicaView
from simulator.request import RequestState

GuardName = Literal["both", "refine", "cap", "off"]


class Eviction(NamedTuple):
    """A way to preempt a request, and what it costs the replica in all, seconds."""

    how: Preemption
    overhead: float


def cheapest_eviction(request: RequestState, view: ReplicaView, swap_blocks: int) -> Eviction:
    """Recompute: prefilling its tokens again. Swap: moving its cache both ways, if `swap_blocks` hold it."""
    tokens = request.num_computed_tokens
    again = view.predict_step_time(Batch(tokens, 0, tokens * (tokens + 1) // 2, 0, 0, 1))
    moving = 2.0 * tokens * view.swap.seconds_per_token
    if moving < again and request.id not in view.prefilling and 0 < view.kv.blocks_for(tokens) <= swap_blocks:
        return Eviction("swap", moving)
    return Eviction("recompute", again)


class Guard(Protocol):
    """Whether a preemption is worth it."""

    def allows(self, newcomer: int | None, gone: Sequence[int], overhead: float) -> bool:
        """Whether to preempt for `newcomer` (None: only for a smaller batch).

        gone: all whom the plan would then preempt, positions; overhead: what that costs in all, seconds. Asked
        for one newcomer after the other until it refuses.
        """


class Off(NamedTuple):
    """Every preemption is allowed."""

    def allows(self, newcomer: int | None, gone: Sequence[int], overhead: float) -> bool:
        """Yes."""
        return True


class Closed(NamedTuple):
    """No preemption is allowed: the last ones are too recent."""

    def allows(self, newcomer: int | None, gone: Sequence[int], overhead: float) -> bool:
        """No."""
        return False


class Cap(NamedTuple):
    """So many preemptions are left until their mean per request reaches P (Andes v1)."""

    num_left: float

    def allows(self, newcomer: int | None, gone: Sequence[int], overhead: float) -> bool:
        """Whether all of them are within what is left."""
        return len(gone) <= self.num_left


class Refine:
    """A newcomer must gain more QoE than the others lose by the overhead (Andes v2: the ongoing requests).

    Open there, so ours: the others are all in the system but the victims, since whoever waits, waits longer for it;
    were it those who run, whose buffers hide it, exchanges would take up all the time. The overheads of one plan
    add up, and each newcomer answers for what its own adds. With `num_left`, the cap holds as well.
    """

    def __init__(self, standing: Standing, selection: Selection, num_left: float) -> None:
        self._outlook = standing.outlook
        self._selection = selection
        self._cap = Cap(num_left)
        self._if_served = standing.outlook.if_served(selection.rate)
        self._lost = 0.0

    def allows(self, newcomer: int | None, gone: Sequence[int], overhead: float) -> bool:
        """Whether its gain exceeds Σ (Q if served from now) − (Q if served after the overhead) of the others."""
        if newcomer is None or not self._cap.allows(newcomer, gone, overhead):
            return False
        lost = self._if_served - self._outlook.if_served(self._selection.rate, overhead)
        lost[[newcomer, *gone]] = 0.0
        before, self._lost = self._lost, float(np.sum(lost))
        return float(self._selection.gain[newcomer]) > self._lost - before
