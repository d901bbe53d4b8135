"""CPU seconds of a run: those of the simulation loop, and apart from them those of the summary."""

from __future__ import annotations

from time import process_time

from experiments.bench.cases import Case
from experiments.bench.loads import PROFILE, PROMISE, workload_of
from experiments.contender import contender
from hardware_profiles import load_profile
from simulator.metrics import summary_values
from simulator.policy import EngineLimits
from simulator.simulation import simulate
from simulator.token_log import TokenLog
from simulator.workload import Workload, limit

_FEW = 10
"""Requests of the run that goes before: what is imported on first use is no part of any figure."""


def measure_run(case: Case) -> dict[str, float]:
    """Simulate the case and summarise its log: CPU seconds of both, and what was done in them."""
    workload = workload_of(case)
    _judge(_run(case, limit(workload, _FEW)))
    start = process_time()
    log = _run(case, workload)
    simulated = process_time()
    _judge(log)
    summarised = process_time()
    return {
        "requests": log.num_requests,
        "output_tokens": int(log.num_tokens().sum()),
        "cpu_s": simulated - start,
        "summary_cpu_s": summarised - simulated,
        "num_plans": log.counters["num_plans"],
        "num_iterations": log.counters["num_iterations"],
    }


def _run(case: Case, workload: Workload) -> TokenLog:
    policy, limits, _ = contender(case.policy, EngineLimits())
    return simulate(workload, policy, load_profile(PROFILE), limits=limits)


def _judge(log: TokenLog) -> None:
    summary_values(log, PROMISE)
