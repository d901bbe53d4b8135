"""The parts of which a run's time is made, one at a time: `pytest tests/test_hot_parts.py --benchmark-only`.

In the suite each runs once, and what it gives back is checked; nothing is asserted about times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.bench.cases import Case
from experiments.bench.loads import PROFILE, PROMISE, workload_of
from experiments.bench.scoring import synthetic_log
from hardware_profiles import load_profile
from policies import make_policy
from simulator import simulate
from simulator.clock import Clock
from simulator.latency import Batch
from simulator.metrics import summary_values
from simulator.rows import Rows
from simulator.step_run import StepRun

REQUESTS = 2000


@pytest.mark.parametrize("policy", ["fcfs", "chunked_prefill", "andes"])
@pytest.mark.parametrize("workload", ["f6", "c5", "c1", "overload"])
def test_a_run(benchmark: Any, workload: str, policy: str) -> None:
    load, profile = workload_of(Case(workload=workload, policy=policy, requests=REQUESTS)), load_profile(PROFILE)
    log = benchmark(lambda: simulate(load, make_policy(policy), profile))
    assert np.isfinite(log.end).all()


def test_a_summary(benchmark: Any) -> None:
    log = synthetic_log(REQUESTS)
    assert benchmark(summary_values, log, PROMISE)["num_finished"] == REQUESTS


def test_events_of_the_clock(benchmark: Any) -> None:
    def thousand_events() -> float:
        clock = Clock()

        def script() -> Any:
            for i in range(1000):
                yield clock.at(float(i))

        clock.drive(script())
        clock.run()
        return float(clock.now)

    assert benchmark(thousand_events) == 999.0


def test_the_duration_of_an_iteration(benchmark: Any) -> None:
    latency = load_profile(PROFILE).latency
    batch = Batch(num_decodes=64, kv_tokens=64_000, num_requests=64)
    assert benchmark(latency.step_time, batch) == latency.decode_run(64, 64_000)[0]


def test_the_step_at_which_a_leap_is_cut(benchmark: Any) -> None:
    run = StepRun(0.0, 0.02, 1e-6)
    steps = benchmark(run.steps_until, 7.0, 1000)
    assert run.boundary(steps - 1) < 7.0 <= run.boundary(steps)


def test_rows_that_become_columns(benchmark: Any) -> None:
    def thousand_rows() -> int:
        rows = Rows("di")
        for i in range(1000):
            rows.append((0.5, i))
        return int(rows.columns()[1][-1])

    assert benchmark(thousand_rows) == 999
