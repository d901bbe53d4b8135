"""Iterations, phases and levels of runs worked out by hand, and what holds of those of every run."""

from __future__ import annotations

from itertools import pairwise
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.timeline.iterations import Iterations, Kind, idle_gaps, iterations
from experiments.timeline.levels import kv_level, running_level, waiting_level
from experiments.timeline.phases import Phase, first_token_time, phases, requests_between
from experiments.timeline.window import choose_window
from policies import make_policy
from simulator import EngineLimits, EventKind, SchedulerPolicy, Status, StepPlan, TokenLog, simulate
from simulator.metrics.periods import last_event, span
from simulator.metrics.replica import utilisation
from simulator.swap_space import HostLink
from tests.erratic import Erratic
from tests.hand_logs import log_of, row
from tests.support import ConstantLatency, Machine, workload
from tests.test_engine_leap import scenarios
from tests.test_engine_timelines import LOAD, Scripted, SwapsAtThree, TokensTakeTime
from tests.timelines import MODES, second_by_second

P, D, W, HELD = Phase.PREFILL, Phase.DECODE, Phase.WAITING, Phase.PAUSED


def rows(blocks: Iterations) -> list[tuple[object, ...]]:
    columns = (blocks.start, blocks.end, blocks.kind, blocks.prefill_tokens, blocks.num_decodes, blocks.kv_blocks)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@MODES
def test_prefill_first_makes_the_others_pause(leap: bool) -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime()), leap=leap)
    # 1 s an iteration and 1/64 s a prefill token. 0–2 prefill of 0; 2–3.5 of 1; 3.5–4.5 both decode, 1 is done;
    # 4.5–6.5 prefill of 2; 6.5–7.5 decode of 0 and 2. Blocks of 16 tokens: see test_engine_timelines.
    assert rows(iterations(log, 0.0, 8.0)) == [
        (0.0, 2.0, Kind.PREFILL, 64, 0, 4),
        (2.0, 3.5, Kind.PREFILL, 32, 0, 6),
        (3.5, 4.5, Kind.DECODE, 0, 2, 8),
        (4.5, 6.5, Kind.PREFILL, 64, 0, 9),
        (6.5, 7.5, Kind.DECODE, 0, 2, 10),
    ]
    assert phases(log, 0) == [(P, 0.0, 2.0), (HELD, 2.0, 3.5), (D, 3.5, 4.5), (HELD, 4.5, 6.5), (D, 6.5, 7.5)]
    assert phases(log, 1) == [(W, 0.5, 2.0), (P, 2.0, 3.5), (D, 3.5, 4.5)]
    assert phases(log, 2) == [(W, 4.0, 4.5), (P, 4.5, 6.5), (D, 6.5, 7.5)]
    assert [first_token_time(log, i) for i in range(3)] == [2.0, 3.5, 6.5]


def test_chunks_carry_the_decodes_along() -> None:
    log = simulate(LOAD, make_policy("chunked_prefill:token_budget=33"), Machine(TokensTakeTime()))
    # 33 of 0; its other 31 and 2 of 1; then the other 30 of 1 beside a decode of 0; 31 of 2 beside both; 33; a decode
    blocks = iterations(log, 0.0, 10.0)
    kinds = [Kind.PREFILL, Kind.PREFILL, Kind.CHUNK, Kind.CHUNK, Kind.PREFILL, Kind.DECODE]
    assert blocks.kind.tolist() == kinds
    assert blocks.prefill_tokens.tolist() == [33, 33, 30, 31, 33, 0]
    assert blocks.num_decodes.tolist() == [0, 0, 1, 2, 0, 1]
    assert [stay.phase for stay in phases(log, 0)] == [P, D]
    assert [stay.phase for stay in phases(log, 1)] == [W, P, D]


@MODES
def test_only_the_window_is_expanded_and_its_iterations_are_whole(leap: bool) -> None:
    log = second_by_second(workload([0.0], 16, 1000), "fcfs", leap=leap)
    blocks = iterations(log, 500.5, 503.0)
    assert (blocks.start.tolist(), blocks.end.tolist()) == ([500.0, 501.0, 502.0], [501.0, 502.0, 503.0])
    assert phases(log, 0) == [(P, 0.0, 1.0), (D, 1.0, 1000.0)]


@MODES
def test_a_preempted_request_is_prefilled_again(leap: bool) -> None:
    load = workload([0.0, 0.0], [32, 32], [18, 18])
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0), kv_capacity_tokens=16 * 5), leap=leap)
    # both have their first token at 1; request 1 loses its cache then, and comes back when 0 is done, at 18
    assert phases(log, 0) == [(P, 0.0, 1.0), (D, 1.0, 18.0)]
    assert phases(log, 1) == [(P, 0.0, 1.0), (Phase.PREEMPTED, 1.0, 18.0), (P, 18.0, 19.0), (D, 19.0, 35.0)]


@MODES
def test_a_swapped_request_comes_back_without_a_prefill(leap: bool) -> None:
    machine = Machine(ConstantLatency(1.0), host_link=HostLink(kv_bytes_per_token=8.0, bytes_per_s=32.0))
    log = simulate(workload([0.0, 0.0], [14, 16], [5, 20]), SwapsAtThree(), machine, leap=leap)
    # out at 3, which makes the step of request 1 end at 8; back from 10 on, which makes that step end at 15
    assert phases(log, 0) == [(P, 0.0, 1.0), (D, 1.0, 3.0), (Phase.SWAPPED, 3.0, 10.0), (D, 10.0, 16.0)]
    blocks = iterations(log, 3.0, 15.0)
    assert blocks.end.tolist() == [8.0, 9.0, 10.0, 15.0]


class SwapsAndPrefillsAnew(SchedulerPolicy):
    """Swaps request 0 at 2 s, prefills it from its first token on at 3 s, in two chunks, and drops it at 4 s."""

    drop: bool

    def plan(self, view):  # type: ignore[no-untyped-def]
        if view.now == 2.0 and 0 in view.running:
            return StepPlan(preempt={0: "swap"}, decode=())
        if view.now == 4.0 and self.drop:
            return StepPlan(drop={0: "late"})
        if 0 in view.waiting and view.now < 3.0:
            return StepPlan(replan_at=3.0) if view.now else StepPlan(prefill={0: 16})
        if 0 in view.waiting or 0 in view.prefilling:
            return StepPlan(prefill={0: 9})
        return StepPlan(replan_at=2.0) if view.now < 2.0 else StepPlan()


def test_a_swapped_request_may_be_prefilled_anew() -> None:
    machine = Machine(ConstantLatency(1.0), host_link=HostLink(kv_bytes_per_token=0.001, bytes_per_s=1e9))
    log = simulate(workload([0.0], 16, 4), SwapsAndPrefillsAnew(drop=False), machine)
    stays = [(stay.phase, stay.start, stay.end) for stay in phases(log, 0)]
    assert stays == [(P, 0.0, 1.0), (D, 1.0, 2.0), (Phase.SWAPPED, 2.0, 3.0), (P, 3.0, 5.0), (D, 5.0, 6.0)]
    # nothing tells a prefill that never ends in a token from a cache that is back
    log = simulate(workload([0.0], 16, 4), SwapsAndPrefillsAnew(drop=True), machine)
    assert phases(log, 0)[-1] == (HELD, 3.0, 4.0)


@MODES
def test_a_drop_ends_the_phases(leap: bool) -> None:
    policy = Scripted(start=4.0, end=5.0, scripted=StepPlan(drop={0: "late"}))
    log = simulate(workload([0.0, 3.5], 16, [50, 2]), policy, Machine(ConstantLatency(1.0)), leap=leap)
    assert phases(log, 0) == [(P, 0.0, 1.0), (D, 1.0, 4.0)]
    assert phases(log, 1) == [(W, 3.5, 4.0), (P, 4.0, 5.0), (D, 5.0, 6.0)]


def test_whoever_was_rejected_or_never_served_has_no_more_than_a_wait() -> None:
    load = workload([0.0, 0.5], [16, 999], [4, 1])
    limits = EngineLimits(max_model_len=100)
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), limits=limits, oversize="reject")
    assert phases(log, 1) == []
    load = workload([0.0, 0.0, 1.0], 16, 50)
    log = simulate(
        load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), limits=EngineLimits(max_num_seqs=1), until=5.0
    )
    assert phases(log, 2) == [(W, 1.0, 5.0)]
    assert phases(log, 0) == [(P, 0.0, 1.0), (D, 1.0, 5.0)]


def test_levels_count_requests_and_blocks() -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime()))
    times, counts = waiting_level(log).between(0.0, 8.0)
    assert list(zip(times.tolist(), counts.tolist(), strict=True)) == [(0.0, 0), (0.5, 1), (2.0, 0), (4.0, 1), (4.5, 0)]
    times, counts = running_level(log).between(0.0, 8.0)
    assert list(zip(times.tolist(), counts.tolist(), strict=True)) == [(0.0, 1), (2.0, 2), (4.5, 2), (7.5, 0)]
    times, blocks = kv_level(log, 1.0, 8.0)
    assert list(zip(times.tolist(), blocks.tolist(), strict=True)) == [
        (1.0, 4),
        (2.0, 6),
        (3.5, 8),
        (4.5, 9),
        (6.5, 10),
        (7.5, 0),
    ]


def test_blocks_are_held_while_the_gpu_idles_with_somebody_running() -> None:
    class Waits(SchedulerPolicy):
        def plan(self, view):  # type: ignore[no-untyped-def]
            if view.now == 0.0:
                return StepPlan(prefill={0: 16})
            return StepPlan(decode=(), replan_at=3.0) if view.now < 3.0 else StepPlan()

    log = simulate(workload([0.0, 9.0], 16, 2), make_policy("fcfs"), Machine(ConstantLatency(1.0)))
    assert kv_level(log, 0.0, 9.5).values.tolist() == [1, 2, 0, 1]
    log = simulate(workload([0.0], 16, 2), Waits(), Machine(ConstantLatency(1.0)))
    times, blocks = kv_level(log, 0.0, 5.0)
    assert (times.tolist(), blocks.tolist()) == ([0.0, 1.0, 3.0, 4.0], [1, 1, 2, 0])
    gaps = idle_gaps(iterations(log, 0.0, 5.0), 0.0, 5.0)
    assert [gap.tolist() for gap in gaps] == [[1.0, 4.0], [3.0, 5.0]]


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ((3.0, 3.0), "from 3 s to 3 s is no stretch"),
        ((3.0, 2.0), "from 3 s to 2 s is no stretch"),
        ((0.0, float("nan")), "to nan s is no stretch"),
        ((7.5, 9.0), "the run goes from 0 s to 7.5 s"),
        ((-2.0, 0.0), "the run goes from 0 s to 7.5 s"),
    ],
)
def test_a_window_lies_in_the_run(window: tuple[float, float], problem: str) -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime()))
    with pytest.raises(ValueError, match=problem):
        iterations(log, *window)


def test_logs_without_iterations_have_no_timeline() -> None:
    with pytest.raises(ValueError, match="a measured run"):
        iterations(log_of([row(0.0, [1.0, 2.0])]), 0.0, 1.0)
    rejected = simulate(
        workload([0.0], 999, 1),
        make_policy("fcfs"),
        Machine(ConstantLatency(1.0)),
        limits=EngineLimits(max_model_len=10),
        oversize="reject",
    )
    with pytest.raises(ValueError, match="no iteration"):
        iterations(rejected, 0.0, 1.0)


def test_the_first_interesting_window() -> None:
    quiet = second_by_second(workload([0.5, 40.0], 16, 3), "fcfs")
    assert choose_window(quiet)[:2] == (0.0, 10.0)
    crowd = second_by_second(workload([0.0] * 2 + [20.25] * 8, 16, 30), "fcfs", limits=EngineLimits(max_num_seqs=2))
    window = choose_window(crowd)
    assert window == (18.0, 28.0, "the queue first reaches half its peak of 8 at 20.2 s")
    machine = Machine(ConstantLatency(1.0), kv_capacity_tokens=16 * 5)
    preempts = simulate(workload([0.0, 0.0], 32, 18), make_policy("fcfs"), machine)
    assert choose_window(preempts) == (0.0, 10.0, "the first preemption is at 1.0 s")
    drops = simulate(
        workload([0.0, 30.0], 16, [50, 2]),
        Scripted(start=30.0, end=31.0, scripted=StepPlan(drop={0: "late"})),
        Machine(ConstantLatency(1.0)),
    )
    assert choose_window(drops) == (28.0, 32.0, "the first drop is at 30.0 s")
    assert choose_window(quiet, 3.0) == (3.0, 13.0, "")
    assert choose_window(quiet, end=4.0)[:2] == (0.0, 4.0)
    assert choose_window(quiet, 3.0, 5.0)[:2] == (3.0, 5.0)


def check_timeline(log: TokenLog) -> None:
    """What holds of the timeline of every run; raises AssertionError."""
    assert log.runs is not None
    assert log.events is not None
    start, end = float(log.arrival[0]), last_event(log)
    blocks = iterations(log, start, end)
    assert len(blocks) == log.runs.num_steps.sum() == log.counters["num_iterations"]
    assert (blocks.start[1:] >= blocks.end[:-1]).all()
    assert (blocks.end > blocks.start).all()
    busy = fsum(blocks.end - blocks.start)
    assert busy == pytest.approx(utilisation(log) * span(log), rel=1e-9)
    left, right = idle_gaps(blocks, start, end)
    assert busy + fsum(right - left) == pytest.approx(end - start, rel=1e-9)
    assert (kv_level(log, start, end).values <= log.total_blocks).all()
    decoded = np.zeros(len(blocks), dtype=np.int64)
    for request in range(log.num_requests):
        decoded += check_phases(log, request, blocks)
    assert (decoded == blocks.num_decodes).all()


def check_phases(log: TokenLog, request: int, blocks: Iterations) -> np.ndarray:  # type: ignore[type-arg]
    """Stays tile the time in the system; in which of the iterations the request decodes, 0 or 1 each."""
    stays = phases(log, request)
    assert log.events is not None
    mine = log.events.request == request
    end = log.end[request]
    if log.status[request] == Status.UNFINISHED:
        end = max([last_event(log), *log.events.time[mine]])
    assert all(stay.start < stay.end for stay in stays)
    assert all(a.end == b.start and a.phase is not b.phase for a, b in pairwise(stays))
    if end > log.arrival[request]:
        assert (stays[0].start, stays[-1].end) == (log.arrival[request], end)
    else:
        assert not stays
    lost = [EventKind.PREEMPT_RECOMPUTE, EventKind.PREEMPT_SWAP]
    preemptions = np.isin(log.events.kind, lost) & mine
    assert sum(stay.phase in (Phase.PREEMPTED, Phase.SWAPPED) for stay in stays) <= preemptions.sum()
    decodes = [stay for stay in stays if stay.phase is D]
    inside = [(blocks.start >= stay.start) & (blocks.end <= stay.end) for stay in decodes]
    return np.sum(inside, axis=0, dtype=np.int64) if inside else np.zeros(len(blocks), dtype=np.int64)


@settings(max_examples=150)
@given(scenario=scenarios(), seed=st.integers(0, 1000))
def test_blocks_and_phases_of_any_run_tile_its_time(scenario: tuple, seed: int) -> None:  # type: ignore[type-arg]
    load, machine, limits, options = scenario
    log = simulate(load, Erratic(seed=seed), machine, limits=limits, **options)
    if log.runs is not None and len(log.runs.start):
        check_timeline(log)


@pytest.mark.parametrize("spec", ["fcfs", "andes", "drop_on_miss", "chunked_prefill:token_budget=16", "adaserve"])
@settings(max_examples=25)
@given(scenario=scenarios())
def test_so_do_those_of_policies(spec: str, scenario: tuple) -> None:  # type: ignore[type-arg]
    load, machine, limits, options = scenario
    log = simulate(load, make_policy(spec), machine, limits=limits, **options)
    if log.runs is not None and len(log.runs.start):
        check_timeline(log)


@settings(max_examples=50)
@given(scenario=scenarios(), seed=st.integers(0, 1000), part=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_window_shows_that_part_of_the_run(scenario: tuple, seed: int, part: tuple[float, float]) -> None:  # type: ignore[type-arg]
    load, machine, limits, options = scenario
    log = simulate(load, Erratic(seed=seed), machine, limits=limits, **options)
    if log.runs is None or not len(log.runs.start):
        return
    first, last = float(log.arrival[0]), last_event(log)
    low, high = (first + share * (last - first) for share in sorted(part))
    if low >= high or high <= first or low >= last:
        return
    everything = rows(iterations(log, first, last))
    assert rows(iterations(log, low, high)) == [block for block in everything if block[0] < high and block[1] > low]  # type: ignore[operator]
    left = np.where(np.isnan(log.end), np.inf, log.end)
    present = [i for i in range(log.num_requests) if log.arrival[i] < high and left[i] > low]
    assert requests_between(log, low, high).tolist() == present
