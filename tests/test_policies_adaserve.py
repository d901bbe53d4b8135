"""Whom adaserve drafts for, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.adaserve import AdaServe, choose_depths
from simulator import DECODE_ALL, NONE, StepPlan
from simulator.latency import Batch
from simulator.metrics.slo import SLO
from simulator.speculation import Speculation, expected_tokens
from tests.policy_views import decoding, request, view_of

HALF = Speculation(acceptance=0.5, draft_step_time=0.25)


def quarter(batch: Batch) -> float:
    return 0.25


def test_expected_tokens_are_the_closed_form() -> None:
    assert [expected_tokens(0.5, n) for n in range(4)] == [1.0, 1.5, 1.75, 1.875]
    assert [expected_tokens(0.0, n) for n in range(3)] == [1.0, 1.0, 1.0]
    assert [expected_tokens(1.0, n) for n in range(3)] == [1.0, 2.0, 3.0]


def test_need_comes_first_then_probability() -> None:
    # a = 1/2: 1.5 tokens take one draft, 1.75 two, and more than 1.875 the three that there may be
    assert choose_depths([1.5, 1.0, 1.7], 0.5, 3, 3) == [1, 0, 2]
    assert choose_depths([1.5, 1.0, 9.0], 0.5, 3, 4) == [1, 0, 3]
    assert choose_depths([1.5, 1.0, 9.0], 0.5, 3, 2) == [0, 0, 2]
    # what is left: first drafts before second ones, the neediest first
    assert choose_depths([0.5, 1.0, 0.7], 0.5, 3, 2) == [0, 1, 1]
    assert choose_depths([0.5, 1.0, 0.7], 0.5, 3, 4) == [1, 2, 1]
    assert choose_depths([1.5, 1.0, 9.0], 0.5, 3, 6) == [2, 1, 3]


@given(st.lists(st.floats(-5, 9), max_size=8), st.sampled_from([0.3, 0.7, 1.0]), st.integers(1, 5), st.integers(0, 50))
def test_the_budget_is_used_up_and_kept(need: list[float], acceptance: float, max_depth: int, budget: int) -> None:
    depths = choose_depths(need, acceptance, max_depth, budget)
    assert sum(depths) == min(budget, max_depth * len(need))
    assert all(0 <= depth <= max_depth for depth in depths)


def test_need_counts_from_the_first_token() -> None:
    # first token at 8 s, now 10 s; t_spec = 1/4 + 2 drafts of 1/4: 2.75 s, eleven gaps of 1/4 s; nine are there
    behind = decoding(0, 8, 10, first=8.0, slo=SLO(tpot=0.25))
    ahead = decoding(1, 8, 11, first=8.0, slo=SLO(tpot=0.25))
    view = view_of([ahead, behind], now=10.0, step_time=quarter, speculation=HALF)
    assert AdaServe(max_depth=2)._need(view) == {1: 1.0, 0: 2.0}
    assert AdaServe(max_depth=2, token_budget=3).plan(view) == StepPlan(speculate={0: 1})
    assert AdaServe(max_depth=2, token_budget=4).plan(view) == StepPlan(speculate={0: 2})
    assert AdaServe(max_depth=2, token_budget=5).plan(view) == StepPlan(speculate={1: 1, 0: 2})


def test_the_iteration_is_estimated_as_one_that_verifies_the_whole_budget() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 0.25

    AdaServe(token_budget=7)._need(
        view_of([decoding(0, 8, 3, 8.0), decoding(1, 9, 4, 8.0)], now=9.0, step_time=remembered)
    )
    assert asked == [Batch(0, 0, 0, 7, 8 + 9 + 3 + 4, 2)]


def test_prompts_go_first_and_a_spent_budget_drafts_nothing() -> None:
    runs = [decoding(i, 8, 3, first=8.0) for i in range(3)]
    view = view_of(runs, [request(7, 30)], now=10.0, speculation=HALF)
    assert AdaServe().plan(view) == StepPlan(prefill={7: 30}, decode=NONE)
    assert AdaServe(token_budget=3).plan(view_of(runs, now=10.0, speculation=HALF)) is DECODE_ALL
    never = Speculation(acceptance=0.0)
    assert AdaServe().plan(view_of(runs, now=10.0, speculation=never)) is DECODE_ALL


@pytest.mark.parametrize(("num_blocks", "depths"), [(2, {0: 2}), (3, {0: 4, 1: 2}), (4, {0: 4, 1: 4})])
def test_drafts_keep_to_the_blocks(num_blocks: int, depths: dict[int, int]) -> None:
    # 13 tokens each in a block of 16: one is for the decode, two more fit, others take a new block
    runs = [decoding(i, 10, 4, first=8.0) for i in range(2)]
    if num_blocks == 2:
        runs = runs[:1]
    view = view_of(runs, now=10.0, num_blocks=num_blocks if len(runs) == 2 else 1, speculation=HALF)
    assert AdaServe(max_depth=4).plan(view) == StepPlan(speculate=depths)


def test_where_no_draft_fits_the_cache_it_looks_again_after_one_iteration() -> None:
    full = decoding(0, 8, 8, first=8.0)  # 15 tokens of 16 are cached: the next one fits, a draft behind it does not
    view = view_of([full], now=10.0, num_blocks=1, step_time=quarter, speculation=HALF)
    assert AdaServe().plan(view) == StepPlan(replan_after=1)
