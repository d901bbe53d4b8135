"""Workloads drawn from an arrival process and a joint distribution of lengths."""

from __future__ import annotations

from simulator.workload.arrivals import Arrivals
from simulator.workload.lengths import Lengths
from simulator.workload.workload import Workload


def synthetic_workload(
    arrivals: Arrivals,
    lengths: Lengths,
    *,
    num_requests: int | None = None,
    window: float | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Workload:
    """Requests that arrive by `arrivals` with lengths by `lengths`; request i depends on (seed, i) alone.

    Either `num_requests`, or all that arrive within [0, window) seconds; a longer workload of the same seed
    starts with the shorter one. name: that of the lengths unless given.

    Raises ValueError unless exactly one of the two is given, or for a window at an infinite rate.
    """
    times = arrivals.arrival_times(num_requests=num_requests, window=window, seed=seed)
    prompt, output = lengths.draw(len(times), seed)
    return Workload(
        name=lengths.name if name is None else name,
        arrival=times,
        prompt_length=prompt,
        output_length=output,
        origin={"arrivals": str(arrivals), "lengths": lengths.name, "seed": seed},
    )
