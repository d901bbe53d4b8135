"""What bounds a request, small caches, closed loops, and what a run says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import make_policy
from simulator import EngineLimits, OversizeRequest, ReplicaView, SchedulerPolicy, Status, StepPlan, simulate
from simulator.latency import Batch, PiecewiseLinearLatency, RunLatencyModel
from simulator.workload import GeometricLengths, PoissonArrivals, synthetic_workload
from simulator.workload.workload import Workload
from tests.support import ConstantLatency, Machine, a100_like, check_invariants, workload

POLICIES = ["fcfs", "chunked_prefill", "chunked_prefill:token_budget=32"]


def test_a_request_that_can_never_fit_is_named_before_the_run() -> None:
    load = Workload(
        "trace", np.zeros(3), np.array([10, 90, 95]), np.array([10, 11, 10]), source_row=np.array([2, 3, 4])
    )
    machine = Machine(a100_like(), 100)  # 6 blocks hold 96 tokens
    with pytest.raises(OversizeRequest) as error:
        simulate(load, make_policy("fcfs"), machine)
    assert "request 1 (line 3): prompt 90 + output 11 tokens never fit into the 96 tokens" in str(error.value)
    assert "2 such requests in all" in str(error.value)


def test_the_longest_context_bounds_a_request_too() -> None:
    with pytest.raises(OversizeRequest, match="max_model_len 64"):
        simulate(
            workload([0.0], 60, 5), make_policy("fcfs"), Machine(a100_like()), limits=EngineLimits(max_model_len=64)
        )


@pytest.mark.parametrize("max_concurrency", [None, 1])
def test_oversized_requests_can_be_rejected_and_are_counted(max_concurrency: int | None) -> None:
    load = workload([0.0, 1.0, 2.0, 3.0], [10, 90, 10, 90], [10, 11, 10, 11])
    log = simulate(
        load, make_policy("fcfs"), Machine(a100_like(), 100), oversize="reject", max_concurrency=max_concurrency
    )
    assert log.status.tolist() == [Status.FINISHED, Status.FAILED, Status.FINISHED, Status.FAILED]
    assert log.reason == ("", "oversize", "", "oversize")
    assert log.end[1] == log.arrival[1]
    assert log.num_tokens().tolist() == [10, 0, 10, 0]
    assert max(log.waiting_over_time()[1]) == 1
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("spec", POLICIES)
def test_a_request_that_just_fits_is_served_among_others(spec: str) -> None:
    load = workload([0.0, 0.0, 0.1], [40, 80, 30], [30, 16, 50])
    log = simulate(load, make_policy(spec), Machine(a100_like(), 96), limits=EngineLimits(watermark=0.0))
    assert (log.status == Status.FINISHED).all()
    check_invariants(log, EngineLimits())


def test_a_prompt_above_the_batched_tokens_is_prefilled_alone() -> None:
    limits = EngineLimits(max_num_batched_tokens=512)
    log = simulate(workload([0.0, 0.0], [5000, 10], 3), make_policy("fcfs"), Machine(a100_like()), limits=limits)
    assert log.runs is not None
    assert log.runs.prefill_tokens[:2].tolist() == [5000, 10]


@pytest.mark.parametrize("spec", POLICIES)
def test_preemption_costs_time_and_no_tokens(spec: str) -> None:
    load = synthetic_workload(PoissonArrivals(3.0), GeometricLengths(300, 300.0), num_requests=300, seed=5)
    small = simulate(load, make_policy(spec), Machine(a100_like(), 4_000))
    large = simulate(load, make_policy(spec), Machine(a100_like()))
    assert small.events is not None
    assert len(small.events.time) > 300
    assert (small.num_tokens() == large.num_tokens()).all()
    assert np.mean(small.end - small.arrival) > np.mean(large.end - large.arrival)
    for log in (small, large):
        check_invariants(log, EngineLimits())


@given(
    max_concurrency=st.integers(1, 6),
    arrival=st.lists(st.integers(0, 12), min_size=1, max_size=20),
    spec=st.sampled_from(POLICIES),
)
@settings(max_examples=100)
def test_a_closed_loop_never_holds_more_than_its_clients(max_concurrency: int, arrival: list[int], spec: str) -> None:
    load = workload(sorted(float(t) for t in arrival), 20, 7)
    log = simulate(load, make_policy(spec), Machine(ConstantLatency(0.25)), max_concurrency=max_concurrency)
    assert (log.status == Status.FINISHED).all()
    assert (log.arrival >= load.arrival).all()
    ends = np.sort(log.end)
    for i, at in enumerate(log.arrival):
        in_system = i + 1 - np.searchsorted(ends, at, side="right")
        assert in_system <= max_concurrency
        held = at > load.arrival[i]
        assert not held or at in ends  # a request that was held is sent when another one ends


def test_a_concurrency_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_concurrency 0 is below 1"):
        simulate(workload([0.0], 1, 1), make_policy("fcfs"), Machine(a100_like()), max_concurrency=0)


def test_hardware_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="15 tokens of KV cache hold no block"):
        simulate(workload([0.0], 1, 1), make_policy("fcfs"), Machine(a100_like(), 15))


class Raises(SchedulerPolicy):
    """Raises what cannot be rebuilt from its arguments."""

    def plan(self, view: ReplicaView) -> StepPlan:
        raise UnicodeDecodeError("utf-8", b"x", 0, 1, "as an example") if view.now else EngineLimits(max_num_seqs=0)


def test_what_a_policy_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ValidationError, match="max_num_seqs"):
        simulate(workload([0.0], 1, 1), Raises(), Machine(a100_like()))
    with pytest.raises(UnicodeDecodeError, match="as an example"):
        simulate(workload([1.0], 1, 1), Raises(), Machine(a100_like()))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="step_time is"):
        simulate(workload([0.0], 1, 1), make_policy("fcfs"), Machine(ConstantLatency(seconds)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": float("inf")}, "until inf s is not a time"),
        ({"until": -1.0}, "until -1.0 s is not a time"),
        ({"oversize": "refused"}, "oversize 'refused' is not one of refuse, reject"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(workload([0.0], 1, 1), make_policy("fcfs"), Machine(a100_like()), **options)


def test_a_log_says_what_was_run() -> None:
    policy = make_policy("chunked_prefill:token_budget=512")
    log = simulate(workload([0.0], 1, 1), policy, Machine(a100_like()), seed=7)
    assert log.meta["policy"] == "chunked_prefill:token_budget=512"
    assert log.meta["seed"] == 7


def test_an_empty_workload_gives_an_empty_log() -> None:
    log = simulate(workload([], [], []), make_policy("fcfs"), Machine(a100_like()))
    assert log.num_requests == 0
    assert len(log.token_times().times) == 0


def test_the_same_run_gives_the_same_bytes_and_progress_is_told() -> None:
    load = synthetic_workload(PoissonArrivals(6.0), GeometricLengths(200, 20.0), num_requests=3000, seed=1)
    told: list[int] = []
    first = simulate(load, make_policy("fcfs"), Machine(a100_like()), on_progress=told.append)
    assert first == simulate(load, make_policy("fcfs"), Machine(a100_like()))
    assert first != simulate(load, make_policy("chunked_prefill"), Machine(a100_like()))
    assert told == [1000, 2000, 3000]


def test_max_num_seqs_must_fit_into_the_batched_tokens() -> None:
    with pytest.raises(ValueError, match="max_num_seqs 256 is over max_num_batched_tokens 100"):
        EngineLimits(max_num_batched_tokens=100)


class Predicts(SchedulerPolicy):
    """Waits if it believes that a prefill takes long."""

    def plan(self, view):  # type: ignore[no-untyped-def]
        if view.predict_step_time(Batch(prefill_tokens=1)) > 1.0:
            raise RuntimeError("believed the estimator")
        return make_policy("fcfs").plan(view)


def test_what_a_policy_believes_of_the_latency_can_be_wrong() -> None:
    load, machine = workload([0.0], 16, 2), Machine(ConstantLatency(0.5))
    assert (simulate(load, Predicts(), machine).status == Status.FINISHED).all()
    with pytest.raises(RuntimeError, match="believed the estimator"):
        simulate(load, Predicts(), machine, predict_step_time=lambda batch: 2.0)


@given(
    decodes=st.integers(1, 256),
    context=st.integers(1, 10_000),
    steps=st.integers(1, 50),
    m=st.floats(0, 2.5),
    ridge=st.integers(0, 300),
)
def test_a_decode_run_is_the_sum_of_its_steps(decodes: int, context: int, steps: int, m: float, ridge: int) -> None:
    model: PiecewiseLinearLatency = a100_like(m=m, q0=1e-3, q1=5e-5, n_ridge=ridge)
    assert isinstance(model, RunLatencyModel)
    first, growth = model.decode_run(decodes, decodes * context)
    one_by_one = [
        model.step_time(Batch(num_decodes=decodes, kv_tokens=decodes * (context + j), num_requests=decodes))
        for j in range(steps)
    ]
    assert steps * first + growth * steps * (steps - 1) / 2 == pytest.approx(sum(one_by_one), rel=1e-12)


def test_mixing_prefill_and_decode_makes_reading_the_cache_dearer() -> None:
    cheap, dear = a100_like(), a100_like(m=1.5)
    decode = Batch(num_decodes=8, kv_tokens=80_000, num_requests=8)
    mixed = decode._replace(prefill_tokens=100, attention_pairs=5050, num_requests=9)
    assert dear.step_time(decode) == cheap.step_time(decode)
    assert dear.step_time(mixed) - cheap.step_time(mixed) == pytest.approx(1.5 * 7.5e-8 * 80_000)
