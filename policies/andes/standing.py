"""Everybody whom a replica could serve, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from policies.andes.knapsack import Ints
from policies.andes.outlook import Outlook, Readers
from policies.andes.reading import Reading
from simulator.policy import ReplicaView
from simulator.request import RequestState


@dataclass(frozen=True, slots=True)
class Standing:
    """Requests by position, running ones first in the order of admission, then waiting ones in that of the queue.

    blocks: what each needs, (n,).
    """

    view: ReplicaView
    ids: Ints
    num_running: int
    blocks: Ints
    readers: Readers
    outlook: Outlook

    @classmethod
    def of(cls, view: ReplicaView, reading: Reading, horizon: float, quantum: int) -> Self:
        """Of all in `view`, with the blocks that they hold after `quantum` more tokens, the capacity at most."""
        ids, readers, tokens = reading.standing(view)
        kv = view.kv
        blocks = np.ceil((tokens + quantum) / kv.block_size).astype(np.int64)
        np.minimum(blocks, kv.num_blocks - kv.watermark_blocks, out=blocks)
        return cls(view, ids, len(view.running), blocks, readers, Outlook(readers, horizon))

    def request(self, position: int) -> RequestState:
        """The request at `position`."""
        queue = self.view.running if position < self.num_running else self.view.waiting
        return queue[int(self.ids[position])]
