"""Speculative decoding in the engine: how many tokens, when, at what cost and in which blocks."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import make_policy
from simulator import (
    DECODE_ALL,
    NONE,
    EngineLimits,
    InvalidPlan,
    ReplicaView,
    SchedulerPolicy,
    StepPlan,
    TokenLog,
    simulate,
)
from simulator.latency import Batch
from simulator.plan_check import check_plan
from simulator.random_streams import uniforms
from simulator.speculation import Drafts, Speculation, expected_tokens
from tests.policy_views import decoding, request, view_of
from tests.support import Machine, a100_like, check_invariants, workload


class Speculates(SchedulerPolicy):
    """Prefills everybody, then drafts so many tokens for those named, or for all."""

    depth: int = 3
    only: tuple[int, ...] | None = None

    def plan(self, view: ReplicaView) -> StepPlan:
        if view.waiting:
            return StepPlan(prefill={i: r.num_tokens_to_prefill for i, r in view.waiting.items()}, decode=NONE)
        drafts = {i: self.depth for i in view.running if self.only is None or i in self.only}
        return StepPlan(speculate=drafts) if drafts else DECODE_ALL


class TokensTakeTime:
    """1 s an iteration, and 1/64 s more for each token, prefilled or verified."""

    def step_time(self, batch: Batch) -> float:
        return 1.0 + (batch.prefill_tokens + batch.num_decodes) / 64

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return 1.0 + num_decodes / 64, 0.0


def tokens(log: TokenLog) -> list[list[float]]:
    times, offsets = log.token_times()
    return [times[a:b].tolist() for a, b in pairwise(offsets)]


def limits(acceptance: float, draft_step_time: float = 0.125) -> EngineLimits:
    return EngineLimits(speculation=Speculation(acceptance=acceptance, draft_step_time=draft_step_time))


@pytest.mark.parametrize("leap", [True, False])
def test_several_tokens_come_at_one_time(leap: bool) -> None:
    load = workload([0.0, 0.0], [62, 34], [8, 4])
    log = simulate(load, Speculates(only=(0,)), Machine(TokensTakeTime()), limits=limits(1.0), leap=leap)
    # 0–2.5: 96 tokens of prefill. Then 3 drafts for 0, 3/8 s, and 4 + 1 tokens to verify: 1 + 5/64 s. 0 gets four
    # tokens, 1 one; 0 is complete with the next three, for the eighth is its last. 1 goes on alone.
    step = 1 + 5 / 64 + 3 / 8
    first, second = 2.5 + step, 2.5 + 2 * step
    assert tokens(log) == [[2.5] + [first] * 4 + [second] * 3, [2.5, first, second, second + 1 + 1 / 64]]
    assert log.end.tolist() == [second, second + 1 + 1 / 64]
    assert log.runs is not None
    assert log.runs.num_decodes.tolist() == [0, 2, 2, 1]
    assert log.runs.kv_tokens.tolist() == [0, 63 + 35, 67 + 36, 37]
    # 62 and 34 tokens hold 4 + 3 blocks; 0 needs a fifth for its 66 tokens, and later for its 70
    assert log.runs.kv_blocks.tolist() == [7, 8, 8, 3]
    assert log.counters["num_drafted_tokens"] == 6
    assert log.counters["num_accepted_tokens"] == 3 + 2
    check_invariants(log, limits(1.0))


def test_refused_drafts_cost_time_and_give_their_blocks_back() -> None:
    load = workload([0.0], 62, 4)
    log = simulate(load, Speculates(depth=16), Machine(TokensTakeTime()), limits=limits(0.0))
    step = 1 + 17 / 64 + 2
    assert tokens(log) == [[1 + 62 / 64 + i * step for i in range(4)]]
    assert log.runs is not None
    assert log.runs.kv_blocks.tolist() == [4, 5, 5, 6]  # 62 tokens; 79, 80 and 81 while verifying
    check_invariants(log, limits(0.0))


@pytest.mark.parametrize(("acceptance", "depth"), [(0.3, 2), (0.7, 4), (0.9, 8)])
def test_the_mean_of_a_verification_is_the_closed_form(acceptance: float, depth: int) -> None:
    drafts = Drafts(Speculation(acceptance=acceptance), seed=3)
    got = []
    for request_id in range(400):
        at = 0
        while at < 900:
            got.append(1 + drafts.accepted(request_id, at, depth, 1000))
            at += got[-1]
    half_width = 2.576 * np.std(got) / np.sqrt(len(got))
    assert half_width < 0.01 * np.mean(got)
    assert abs(np.mean(got) - expected_tokens(acceptance, depth)) < half_width


@given(st.integers(0, 50), st.integers(1, 8), st.integers(60, 70), st.floats(0, 1), st.integers(0, 99))
def test_accepted_are_the_leading_successes(first: int, depth: int, length: int, rate: float, request_id: int) -> None:
    draws = uniforms(7, f"speculation/{request_id}", length)
    run = 0
    while run < depth and first + run < length - 1 and draws[first + run] < rate:
        run += 1
    drafts = Drafts(Speculation(acceptance=rate), seed=7)
    assert drafts.accepted(request_id, first, depth, length) == run
    drafts.accepted(request_id + 1, 0, 3, 10)
    assert drafts.accepted(request_id, first, depth, length) == run


def test_the_seed_decides_what_is_accepted() -> None:
    load = workload([0.0] * 4, 16, 64)
    machine = Machine(a100_like())
    a, b, c = (simulate(load, make_policy("adaserve"), machine, seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert tokens(a) != tokens(c)


def test_speculation_is_faster_where_drafts_are_good() -> None:
    load = workload([0.0] * 4, 16, 64)
    ends = [
        simulate(load, Speculates(depth=depth), Machine(a100_like()), limits=limits(0.9, 0.001)).end.max()
        for depth in (1, 2, 4)
    ]
    plain = simulate(load, make_policy("fcfs"), Machine(a100_like())).end.max()
    assert plain > ends[0] > ends[1] > ends[2]


def test_what_cannot_be_verified_is_refused() -> None:
    runs = [decoding(i, 10, 4, first=8.0) for i in range(2)]
    view = view_of(runs, [request(7, 30)], now=10.0, num_blocks=3, max_num_seqs=3, max_num_batched_tokens=10)
    check_plan(StepPlan(speculate={0: 3, 1: 2}), view)
    for plan, offence in [
        (StepPlan(speculate={7: 1}), "speculate: request 7 does not decode in this iteration"),
        (StepPlan(speculate={0: 1}, decode=(1,)), "speculate: request 0 does not decode"),
        (StepPlan(speculate={0: 1}, preempt={0: "recompute"}), "speculate: request 0 does not decode"),
        (StepPlan(speculate={0: 0}), "speculate: 0 drafts for request 0"),
        (StepPlan(speculate={0: 1}, prefill={7: 1}), "an iteration that prefills cannot verify drafts"),
        (StepPlan(speculate={0: 5, 1: 4}), "11 tokens in one iteration, over max_num_batched_tokens 10"),
        (StepPlan(speculate={0: 3, 1: 3}), "the plan needs 2 new KV blocks, 1 are free"),
    ]:
        with pytest.raises(InvalidPlan, match=re.escape(offence)):
            check_plan(plan, view)
