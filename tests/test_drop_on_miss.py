"""Who is dropped, when and why; by hand, and against a reference that looks at every token and every boundary."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import make_policy
from policies.checks import check_policy
from policies.drop_on_miss import DropOnMiss
from simulator import EngineLimits, EventKind, Status, TokenLog, simulate
from simulator.metrics.slo import SLO
from simulator.workload import Workload
from tests.erratic import Erratic
from tests.support import ConstantLatency, Machine, a100_like, workload
from tests.test_engine_leap import both, scenarios
from tests.timelines import MODES, ONE_SEAT, tokens


def run(load: Workload, spec: str, latency: Any = None, **options: Any) -> TokenLog:
    return simulate(load, make_policy(f"drop_on_miss:{spec}"), Machine(latency or ConstantLatency(1.0)), **options)


@MODES
def test_a_first_token_that_is_overdue(leap: bool) -> None:
    load = workload([0.0, 0.5], 16, [5, 5])
    log = run(load, "ttft=2", leap=leap, limits=ONE_SEAT)
    # due at 2.5, seen at the boundary at 3, in the middle of what would be one leap
    assert log.status.tolist() == [Status.FINISHED, Status.DROPPED]
    assert (log.end[1], log.reason[1], tokens(log)[1]) == (3.0, "missed ttft", [])
    assert tokens(log)[0] == [1.0, 2.0, 3.0, 4.0, 5.0]
    # equality meets a bound, but at 2.5 − 0.5 = 2 a token that is not there can only come later
    assert run(load, "ttft=1.5", leap=leap, limits=ONE_SEAT).end[1] == 2.0


@MODES
def test_a_first_token_that_cannot_be_in_time(leap: bool) -> None:
    load = workload([0.0, 0.5], 16, [5, 5])
    log = run(load, "ttft=2.75:variant=will_miss", leap=leap, limits=ONE_SEAT)
    # due at 3.25: a prefill of 1 s can start at 2 and not at 3
    assert (log.end[1], log.reason[1]) == (3.0, "will miss ttft")
    assert run(load, "ttft=2.5:variant=will_miss", leap=leap, limits=ONE_SEAT).end[1] == 3.0
    assert run(load, "ttft=2.25:variant=will_miss", leap=leap, limits=ONE_SEAT).end[1] == 2.0


@MODES
def test_a_first_token_that_came_late(leap: bool) -> None:
    log = run(workload([0.0], 16, 5), "ttft=0.75", leap=leap)
    assert (tokens(log), log.end.tolist()) == ([[1.0]], [1.0])
    log = run(workload([0.0], 16, 5), "ttft=0.75:variant=before_first_token_only", leap=leap)
    assert log.status.tolist() == [Status.FINISHED]


class PromptsTakeTime:
    """1 s an iteration, and 1/16 s more for each prefill token."""

    def step_time(self, batch: Any) -> float:
        return float(1.0 + batch.prefill_tokens / 16)

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return 1.0, 0.0


@MODES
def test_a_gap_that_a_prefill_makes(leap: bool) -> None:
    load = workload([0.0, 3.5], [16, 64], [9, 2])
    # 0 gets tokens at 2, 3, 4; then comes a prefill of 5 s
    log = run(load, "on=tbt:tbt=4", PromptsTakeTime(), leap=leap)
    assert tokens(log) == [[2.0, 3.0, 4.0], [9.0, 10.0]]
    assert (log.end[0], log.reason[0]) == (9.0, "missed tbt")
    # at 4 + 5 it is not there, and can only come later
    assert tokens(run(load, "on=tbt:tbt=5", PromptsTakeTime(), leap=leap))[0] == [2.0, 3.0, 4.0]
    log = run(load, "on=tbt:tbt=5.5", PromptsTakeTime(), leap=leap)
    assert tokens(log)[0] == [2.0, 3.0, 4.0, 10.0]  # it has not been 5.5 s at 9, and has at 10: that token was late
    assert log.end[0] == 10.0
    assert run(load, "on=tbt:tbt=5.5:variant=will_miss", PromptsTakeTime(), leap=leap).end[0] == 9.0
    for variant in ("already_missed", "will_miss"):  # just in time
        log = run(load, f"on=tbt:tbt=6:variant={variant}", PromptsTakeTime(), leap=leap)
        assert tokens(log)[0][3:5] == [10.0, 11.0]


class StepsGrow:
    """1 s, and 1/64 s more for every token read."""

    def step_time(self, batch: Any) -> float:
        return float(1.0 + batch.kv_tokens / 64)

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return 1.0 + kv_tokens / 64, num_decodes / 64


@MODES
def test_a_step_that_grows_too_long_within_a_leap(leap: bool) -> None:
    log = run(workload([0.0], 16, 200), "on=tbt:tbt=2", StepsGrow(), leap=leap)
    # decode step j (from 0) reads 17 + j tokens and takes more than 2 s once that is over 64: the 49th
    (times,) = tokens(log)
    assert len(times) == 1 + 49
    assert np.diff(times)[-2:].tolist() == [2.0, 2.0 + 1 / 64]
    assert log.end.tolist() == [times[-1]]
    if leap:
        assert log.counters["num_plans"] < 25  # and not 50


@MODES
def test_a_step_that_is_too_long_right_after_one_that_was_not(leap: bool) -> None:
    # the steps read 17 and 18 tokens
    log = run(workload([0.0], 16, 200), f"on=tbt:tbt={1 + 17.5 / 64}", StepsGrow(), leap=leap)
    assert np.diff(tokens(log)[0]).tolist() == [1 + 17 / 64, 1 + 18 / 64]
    assert log.reason[0] == "missed tbt"


@MODES
def test_a_mean_gap_and_a_readers_deadline(leap: bool) -> None:
    load = workload([0.0, 2.5, 3.25], 16, [9, 1, 1])
    # 0 gets tokens at 1, 2, 3, then two prefills; token 4 is due at 1 + 3·tpot
    assert tokens(run(load, "on=tpot:tpot=1.25", leap=leap))[0] == [1.0, 2.0, 3.0]
    assert tokens(run(load, "on=tpot:tpot=1.5", leap=leap))[0] == [1.0, 2.0, 3.0, 6.0]
    assert len(tokens(run(load, "on=tpot:tpot=2", leap=leap))[0]) == 9
    assert run(load, "on=tpot:tpot=1.5", leap=leap).end[0] == 6.0
    # by the reader it is due at 4/speed: at 5 for 0.8 tokens/s, at 6 for 2/3
    assert run(load, "on=deadlines:speed=0.8", leap=leap).end[0] == 5.0
    assert tokens(run(load, "on=deadlines:speed=0.6", leap=leap))[0][:5] == [1.0, 2.0, 3.0, 6.0, 7.0]


def test_the_requests_own_bounds() -> None:
    load = replace(
        workload([0.0] * 4, 16, [1, 1, 1, 1]),
        request_class=np.array([0, 1, 0, 1]),
        class_names=("hurried", "patient"),
        class_slos=(SLO(ttft=1.5, speed=2.0), SLO(ttft=9.0, speed=0.4)),
    )
    by_ttft = run(load, "on=ttft", limits=ONE_SEAT)
    assert by_ttft.end.tolist() == [1.0, 2.0, 2.0, 3.0]
    assert by_ttft.status.tolist() == [1, 1, 2, 1]
    deadlines = run(load, "on=deadlines", limits=ONE_SEAT)
    assert deadlines.end.tolist() == [1.0, 2.0, 1.0, 3.0]  # due at 0.5, 2.5, 0.5, 2.5
    assert deadlines.status.tolist() == [1, 1, 2, 1]
    own = replace(load, speed=np.array([np.nan, 0.2, 0.2, np.nan]))
    assert run(own, "on=deadlines", limits=ONE_SEAT).end.tolist() == [1.0, 2.0, 3.0, 3.0]
    assert run(own, "on=deadlines", limits=ONE_SEAT).status.tolist() == [1, 1, 1, 2]


def test_blocks_of_the_dropped_are_there_for_the_rest() -> None:
    load = workload([0.0, 0.0, 1.5], 32, [9, 9, 3])
    slow = replace(
        load, request_class=np.array([0, 1, 0]), class_names=("a", "b"), class_slos=(SLO(tbt=9), SLO(tbt=1.5))
    )
    # 6 blocks: two caches of 2, and a third block each to decode; request 2 cannot be admitted until 1 is dropped
    latency = ConstantLatency(1.0)
    log = simulate(slow, make_policy("drop_on_miss:on=tbt"), Machine(latency, 6 * 16))
    assert log.status.tolist() == [Status.FINISHED] * 3
    late = replace(slow, class_slos=(SLO(tbt=9), SLO(tbt=0.5)))
    log = simulate(late, make_policy("drop_on_miss:on=tbt"), Machine(latency, 6 * 16))
    # 1 is overdue at 2, its first gap being 1 s; its blocks serve the prefill of 2 in the same iteration
    assert log.end[1] == 2.0
    assert tokens(log)[1] == [1.0, 2.0]
    assert tokens(log)[2][0] == 3.0


def test_an_inner_policy_need_not_preempt_for_blocks_that_a_drop_frees() -> None:
    load = workload([0.0, 0.0], 32, [4, 4])
    slos = replace(
        load, request_class=np.array([0, 1]), class_names=("a", "b"), class_slos=(SLO(ttft=0.5), SLO(ttft=9.0))
    )
    log = simulate(slos, make_policy("drop_on_miss"), Machine(ConstantLatency(1.0), 5 * 16))
    assert log.events is not None
    assert not (log.events.kind == EventKind.PREEMPT_RECOMPUTE).any()
    assert tokens(log) == [[1.0], [1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize(
    ("spec", "piece"),
    [
        ("drop_on_miss:on=tbt:variant=before_first_token_only", "tbt binds no first token"),
        ("drop_on_miss:on=ttft:tbt=1", "tbt is given, but the bound that is watched is ttft"),
        ("drop_on_miss:on=e2e", "'ttft', 'tbt', 'tpot' or 'deadlines', not 'e2e'"),
        ("drop_on_miss:inner=fcsf", "did you mean fcfs"),
        ("drop_on_miss:inner=chunked_prefill/token_budget=0", "token_budget"),
        ("drop_on_miss:inner=srpt_oracle", "srpt_oracle needs the output lengths"),
    ],
)
def test_what_makes_no_sense_is_refused(spec: str, piece: str) -> None:
    with pytest.raises(ValueError, match=re.escape(piece)) as error:
        make_policy(spec)
    assert "\n" not in str(error.value)


def test_a_request_without_the_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="request 0 has no bound on ttft"):
        run(workload([0.0], 16, 1), "on=ttft")
    other = replace(workload([0.0], 16, 1), class_slos=(SLO(tbt=1.0),))
    with pytest.raises(ValueError, match="request 0 has no bound on speed"):
        run(other, "on=deadlines")


def test_the_inner_policy_keeps_its_parameters() -> None:
    policy = make_policy("drop_on_miss:inner=drop_on_miss/on=tbt/tbt=0.5/inner=lcfs:ttft=1")
    assert make_policy(policy.spec).spec == policy.spec


LOOSE = ["on=ttft:ttft=1e6", "on=tbt:tbt=1e6", "on=tpot:tpot=1e6", "on=deadlines:speed=1e-6"]


@settings(max_examples=60)
@given(scenario=scenarios(), bound=st.sampled_from(LOOSE), inner=st.sampled_from(["fcfs", "chunked_prefill", "lcfs"]))
def test_bounds_that_nobody_misses_change_nothing(scenario: Any, bound: str, inner: str) -> None:
    load, machine, limits, options = scenario
    logs = [
        simulate(load, make_policy(spec), machine, limits=limits, **options)
        for spec in (
            inner,
            f"drop_on_miss:{bound}:inner={inner}",
            f"drop_on_miss:{bound}:variant=will_miss:inner={inner}",
        )
    ]
    assert replace(logs[1], meta=logs[0].meta) == logs[0]
    assert replace(logs[2], meta=logs[0].meta) == logs[0]


@settings(max_examples=300)
@given(scenario=scenarios(), seed=st.integers(0, 1000), on=st.sampled_from(["ttft", "tbt", "tpot", "deadlines"]))
def test_dropping_around_a_policy_that_does_everything_leaps_as_it_steps(scenario: Any, seed: int, on: Any) -> None:
    both((DropOnMiss(inner=Erratic(seed=seed), on=on), DropOnMiss(inner=Erratic(seed=seed), on=on)), scenario)


@pytest.mark.parametrize("variant", ["already_missed", "will_miss"])
@pytest.mark.parametrize("on", ["ttft", "tbt", "tpot", "deadlines"])
def test_it_conforms_around_each_kind_of_policy(on: str, variant: str) -> None:
    for inner in ("edf", "chunked_prefill/token_budget=32"):
        check_policy(f"drop_on_miss:on={on}:variant={variant}:inner={inner}", num_cases=12)


def is_missed(on: str, bound: float, arrival: float, times: list[float], now: float) -> bool:
    """Whether a token that came by `now` was late, or the next one is overdue; by the definitions."""
    for i in range(1, len(times) + 2):
        if on == "ttft":
            due = arrival + bound if i == 1 else np.inf
        elif on == "tbt":
            due = times[i - 2] + bound if i > 1 else np.inf
        elif on == "tpot":
            due = times[0] + (i - 1) * bound if i > 1 else np.inf
        else:
            due = arrival + i / bound
        if (i <= len(times) and times[i - 1] > due) or (i > len(times) and now >= due):
            return True
    return False


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    on=st.sampled_from(["ttft", "tbt", "tpot", "deadlines"]),
    scale=st.sampled_from([0.3, 1.0, 3.0]),
    inner=st.sampled_from(["fcfs", "chunked_prefill/token_budget=64", "fair_share"]),
    latency=st.sampled_from([a100_like(), a100_like(k=2e-5), ConstantLatency(0.0625)]),
)
def test_a_drop_comes_at_the_first_boundary_at_which_it_is_due(
    seed: int, on: str, scale: float, inner: str, latency: Any
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    load = workload(np.cumsum(rng.exponential(0.05, n)).tolist(), rng.integers(1, 400, n), rng.integers(1, 60, n))
    bound = {"ttft": 0.2, "tbt": 0.05, "tpot": 0.03, "deadlines": 20.0}[on] * (
        1 / scale if on == "deadlines" else scale
    )
    name = "speed" if on == "deadlines" else on
    spec = f"drop_on_miss:on={on}:{name}={bound!r}:inner={inner}"
    log = simulate(load, make_policy(spec), Machine(latency, 2000), limits=EngineLimits(max_num_seqs=8))
    assert log.runs is not None
    runs = log.runs
    every = [
        runs.start[i] + (j * runs.step_time[i] + runs.step_growth[i] * (j * (j - 1) * 0.5))
        for i in range(len(runs.start))
        for j in range(int(runs.num_steps[i]) + 1)
    ]
    boundaries = np.unique(every)
    for i, times in enumerate(tokens(log)):
        lived = boundaries[(boundaries >= log.arrival[i]) & (boundaries < log.end[i])]
        for now in lived:
            assert not is_missed(on, bound, log.arrival[i], [t for t in times if t <= now], now)
        if log.status[i] == Status.DROPPED:
            assert is_missed(on, bound, log.arrival[i], times, log.end[i])
