"""Workloads made of other workloads."""

from __future__ import annotations

from dataclasses import replace

from simulator.workload.workload import COLUMNS, Workload


def rescale_rate(workload: Workload, rate: float) -> Workload:
    """The same requests with time stretched so that they arrive at `rate` requests/s on average.

    The rate is that of `Workload.rate`; an infinite one puts all arrivals at time 0. The pattern of bursts is
    kept, and a burst is shorter at a higher rate.

    Raises ValueError for a rate that is not positive, or if the workload has no mean rate to start from.
    """
    if not rate > 0:
        raise ValueError(f"arrival rate must be positive, not {rate} requests/s")
    if not workload.rate > 0:
        raise ValueError(f"workload {workload.name} has no two different arrival times, so no rate to rescale")
    origin = {**workload.origin, "rescaled_from_rate": workload.rate}
    return replace(workload, arrival=workload.arrival * (workload.rate / rate), origin=origin)


def limit(workload: Workload, num_requests: int) -> Workload:
    """The first `num_requests` requests by arrival, or all of them if there are fewer.

    Raises ValueError for a limit below 1.
    """
    if num_requests < 1:
        raise ValueError(f"limit must be ≥ 1 request, not {num_requests}")
    if num_requests >= len(workload):
        return workload
    columns = {column: getattr(workload, column)[:num_requests] for column in COLUMNS}
    return replace(workload, **columns, origin={**workload.origin, "limited_from": len(workload)})
