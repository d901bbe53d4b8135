"""Last come, first served: a bad order on purpose."""

from __future__ import annotations

from policies.prefill_first import PrefillFirst
from simulator.request import RequestState


class Lcfs(PrefillFirst):
    """Like fcfs, but the latest arrival is prefilled first, and the earliest one loses its KV cache first.

    The far end of every comparison: as much work done as under fcfs, and whoever has waited longest waits on.
    """

    name = "lcfs"

    def rank(self, request: RequestState) -> float:
        """The later the arrival, the lower; requests of one moment in the order of their ids."""
        return -request.arrival
