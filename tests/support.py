"""What several tests share: small hardware, small workloads, and the invariants that every run obeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator import EngineLimits, EventKind, LatencyModel, PiecewiseLinearLatency, Status, TokenLog
from simulator.latency import Batch
from simulator.swap_space import HostLink
from simulator.workload.workload import Workload


@dataclass(frozen=True)
class Machine:
    """Hardware by its latency model and KV capacity."""

    latency: LatencyModel
    kv_capacity_tokens: int = 1_000_000
    name: str = "test/machine/tp1"
    host_link: HostLink | None = None


class ConstantLatency:
    """Every iteration takes the same time; decode runs are closed form."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def step_time(self, batch: Batch) -> float:
        return self.seconds

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return self.seconds, 0.0


def a100_like(**changes: float) -> PiecewiseLinearLatency:
    coefficients = {"t0": 0.0105, "s_lo": 2e-5, "s_hi": 6.5e-5, "n_ridge": 200, "k": 7.5e-8, "kp": 2e-8, "a": 1e-9}
    return PiecewiseLinearLatency(**{**coefficients, **changes})


def workload(arrival: Sequence[float], prompt: Sequence[int] | int, output: Sequence[int] | int) -> Workload:
    n = len(arrival)
    return Workload(
        "test",
        np.asarray(arrival, dtype=float),
        np.broadcast_to(np.asarray(prompt), n),
        np.broadcast_to(np.asarray(output), n),
    )


def check_invariants(log: TokenLog, limits: EngineLimits) -> None:
    """Conservation of requests, tokens, blocks and time; raises AssertionError."""
    finished = log.status == Status.FINISHED
    tokens = log.num_tokens()
    assert log.segments is not None
    assert log.runs is not None
    assert (tokens[finished] == log.output_length[finished]).all()
    assert (tokens <= log.output_length).all()
    assert (np.isnan(log.end) == (log.status == Status.UNFINISHED)).all()
    times, offsets = log.token_times()
    for i in np.flatnonzero(tokens):
        mine = times[offsets[i] : offsets[i + 1]]
        assert log.arrival[i] < mine[0]
        assert (np.diff(mine) >= 0).all()
        assert log.counters["num_drafted_tokens"] or (np.diff(mine) > 0).all()
        if finished[i]:
            assert mine[-1] == log.end[i]
        elif log.status[i] == Status.DROPPED:
            assert mine[-1] <= log.end[i]
    runs, ends = log.runs, log.runs.ends()
    assert (runs.start[1:] >= ends[:-1]).all()
    assert (runs.kv_blocks <= runs.kv_blocks_end).all()
    assert (runs.kv_blocks_end <= log.total_blocks).all()
    assert (runs.num_decodes <= limits.max_num_seqs).all()
    assert (runs.num_steps >= 1).all()
    decoded = (runs.num_steps * runs.num_decodes).sum()
    assert decoded == log.segments.num_steps.sum()
    check_littles_law(log)
    when, waiting = log.waiting_over_time()
    assert (np.diff(when) >= 0).all()
    if len(waiting):
        at_the_end_of_each_time = np.append(np.diff(when) > 0, True)
        assert (waiting[at_the_end_of_each_time] >= 0).all()


def check_littles_law(log: TokenLog) -> None:
    """The engine's own ∫ (number in system) dt is the sum of the sojourn times in the log; raises AssertionError.

    A run is drained unless it was to stop at a time; whoever is in the system then is there until the run ends. The
    log does not say when that is if the last thing done was to move a cache: then the integral may only be larger.
    """
    assert log.runs is not None
    assert log.events is not None
    unfinished = log.status == Status.UNFINISHED
    assert log.meta["until"] is not None or not unfinished.any(), f"{unfinished.sum()} requests are left in the system"
    sojourns = np.where(unfinished, _end_of_run(log), log.end) - log.arrival
    integral = log.counters["number_in_system_integral"]
    tolerance = 1e-9 * (1.0 + sojourns.sum()) + 1e-12 * log.num_requests * (log.arrival.max() if len(sojourns) else 0.0)
    assert sojourns.sum() <= integral + tolerance, f"sojourn times of {sojourns.sum()} s, ∫ N dt = {integral} s"
    if not (unfinished.any() and (log.events.kind == EventKind.PREEMPT_SWAP).any()):
        assert integral <= sojourns.sum() + tolerance, f"∫ N dt = {integral} s, sojourn times of {sojourns.sum()} s"


def _end_of_run(log: TokenLog) -> float:
    assert log.runs is not None
    until = log.meta["until"]
    return max(0.0 if until is None else until, log.runs.ends().max(initial=0.0))
