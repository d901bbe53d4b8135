"""Whether a token is late, when to look again, and what is then done, of a few requests."""

from __future__ import annotations

from functools import partial
from math import inf, nextafter
from typing import Any

import pytest

from policies.deadlines import Bounds
from policies.drop_on_miss import DropOnMiss
from policies.gap_misses import GapWatch
from policies.misses import DeadlineWatch, Variant, _newest_is_late
from simulator import DECODE_ALL, NONE, Batch, PolicyEvent, ReplicaView, RequestState, SchedulerPolicy, StepPlan
from tests.policy_views import decoding, request, second_a_token, view_of


def test_the_step_that_may_be_too_long_is_that_of_all_who_decode() -> None:
    # a step takes 1 s for each of the two: it ends at 2 s, before the gaps of 8 s do at 3 s
    watch, runs = GapWatch("already_missed"), [decoding(i, 8, 4, first=-9.0) for i in range(2)]
    view = view_of(runs, now=0.0)
    for state in runs:
        state._last_token_time = -5.0
        watch.arrive(state, Bounds(inf, 8.0, inf, inf, 0.0))
    watch.proceed(PolicyEvent("plan", -9.0), StepPlan(prefill={0: 8, 1: 8}))
    assert watch.again(view, DECODE_ALL) == (inf, None)
    assert watch.again(view_of(runs, now=1.5), DECODE_ALL) == (inf, 1)
    assert watch.again(view_of(runs, now=1.0), DECODE_ALL) == (inf, 1)  # on the dot, but for a rounding
    runs[1]._last_token_time = -4.5
    assert watch.again(view_of(runs, now=0.0), StepPlan(decode=(0,))) == (3.5, None)  # when 1, which pauses, is late


@pytest.mark.parametrize(
    ("variant", "pausing", "preempted"), [("already_missed", 18.0, 17.0), ("will_miss", 17.0, 13.0)]
)
def test_who_does_not_decode_is_looked_at_when_its_token_is_due_less_what_that_takes_at_least(
    variant: Variant, pausing: float, preempted: float
) -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return second_a_token(batch)

    # a decode takes 1 s, and the prefill of a prompt of one and three tokens 4 s
    watch, pauses, waits = GapWatch(variant), decoding(0, 8, 4, first=0.0), request(1, 1)
    pauses._last_token_time, waits._last_token_time, waits._generated = 10.0, 9.0, 3
    seen = []
    for state, view in ((pauses, partial(view_of, [pauses])), (waits, partial(view_of, [pauses], [waits]))):
        watch.arrive(state, Bounds(inf, 8.0, inf, inf, 0.0))
        watch.proceed(PolicyEvent("plan", 0.0), StepPlan(prefill={state.id: 1}))
        seen.append(watch.again(view(now=12.0, step_time=remembered), StepPlan(decode=NONE)))
    assert seen == [(pausing, None), (preempted, None)]
    assert all(batch.num_requests for batch in asked)  # nothing is asked about a step of nobody


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("bounds", "first", "last"),
    [
        (Bounds(1.0, inf, inf, inf, 0.0), 1.0, 9.0),
        (Bounds(inf, inf, 0.5, inf, 0.0), 4.0, 5.0),  # the third: two gaps after the first
        (Bounds(inf, inf, inf, inf, 2.0), 0.5, 1.5),
        (Bounds(inf, inf, inf, inf, 0.5), 0.5, 6.0),
    ],
)
def test_a_token_on_the_dot_is_in_time(bounds: Bounds, first: float, last: float, late: bool) -> None:
    state = decoding(0, 8, 3, first=nextafter(first, inf) if late and bounds.ttft < inf else first)
    state._last_token_time = nextafter(last, inf) if late else last
    assert _newest_is_late(state, bounds) is late


def test_the_next_steps_are_estimated_by_the_blocks_that_are_held_and_what_a_step_adds() -> None:
    asked: list[Batch] = []

    def growing(batch: Batch) -> float:
        asked.append(batch)
        return 1.0 + batch.kv_tokens / 1024

    watch, state = GapWatch("already_missed"), decoding(0, 30, 4, first=0.0)  # three blocks
    state._last_token_time = 0.0
    watch.arrive(state, Bounds(inf, 2.0, inf, inf, 0.0))
    watch.proceed(PolicyEvent("plan", 0.0), StepPlan(prefill={0: 30}))
    # the first takes 1 + 49/1024 s, each one 1/1024 s more than the one before
    assert watch.again(view_of([state], now=0.0, step_time=growing), DECODE_ALL) == (inf, 1024 - 49 - 1)
    assert asked == [Batch(0, 0, 0, 1, 49, 1), Batch(0, 0, 0, 1, 50, 1)]


def test_what_a_token_takes_at_most_is_a_decode_that_reads_the_whole_cache() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 0.5

    watch = DeadlineWatch("will_miss")
    (_, to_prefill), (_, to_decode) = watch._times(view_of(now=0.0, num_blocks=9, step_time=remembered))
    assert (to_prefill, to_decode) == (0.5, 0.5)
    assert Batch(0, 0, 0, 1, 9 * 16, 1) in asked


@pytest.mark.parametrize(("variant", "at"), [("already_missed", 20.0), ("will_miss", 20.0 - 4.0)])
def test_a_first_token_is_looked_at_when_it_is_due_or_its_own_prefill_has_to_begin(variant: Variant, at: float) -> None:
    # a prefill takes 4 s or, of the longest, 40
    watch, waiting = DeadlineWatch(variant), [request(0, 4), request(1, 40)]
    for state, ttft in zip(waiting, (20.0, 90.0), strict=True):
        watch.arrive(state, Bounds(ttft, inf, inf, inf, 0.0))
    assert watch.again(view_of(waiting=waiting, now=0.0), DECODE_ALL) == (at, None)
    assert watch.missed(view_of(waiting=waiting, now=nextafter(at, 0.0))) == []
    assert watch.missed(view_of(waiting=waiting, now=nextafter(at, inf))) == [0]


@pytest.mark.parametrize(("variant", "at"), [("already_missed", 7.0), ("will_miss", 7.0 - 1.0)])
def test_the_token_after_a_first_one_is_looked_at_when_it_is_due_or_its_decode_has_to_begin(
    variant: Variant, at: float
) -> None:
    watch, state = DeadlineWatch(variant), decoding(0, 8, 1, first=4.0)
    state._last_token_time = 4.0
    watch.arrive(state, Bounds(inf, inf, 3.0, inf, 0.0))
    watch.proceed(PolicyEvent("plan", 0.0), StepPlan(prefill={0: 8}))
    view = view_of([state], now=4.0)
    assert watch.again(view, DECODE_ALL) == (at, None)
    watch.proceed(PolicyEvent("plan", 4.0), DECODE_ALL)
    assert watch.again(view, DECODE_ALL) == (at, None)


def test_who_decodes_is_watched_apart_from_who_waits_for_a_prefill() -> None:
    watch, state = DeadlineWatch("will_miss"), decoding(0, 8, 4, first=0.0)

    def watched() -> list[list[int]]:
        return [[i for _, i in times] for times in (watch._to_prefill, watch._decoding)]

    watch.arrive(state, Bounds(inf, inf, 1.0, inf, 0.0))
    assert watched() == [[0], []]
    view_of([state], now=0.0)  # it decodes from here on
    watch.proceed(PolicyEvent("plan", 1.0), StepPlan(prefill={0: 1}))
    watch.proceed(PolicyEvent("plan", 2.0), DECODE_ALL)
    assert watched() == [[], [0]]
    watch.proceed(PolicyEvent("plan", 2.0), StepPlan(preempt={0: "recompute"}))
    assert watched() == [[0], []]


class Says(SchedulerPolicy):
    """Has but one answer."""

    name = "says"
    answer: Any

    def plan(self, view: ReplicaView) -> StepPlan:
        plan: StepPlan = self.answer
        return plan


def told_of(policy: DropOnMiss, *requests: RequestState) -> DropOnMiss:
    """`policy`, which has seen these requests come and be prefilled."""
    for each in requests:
        policy.on_event(PolicyEvent("arrival", each.arrival, each))
    policy.on_event(PolicyEvent("plan", 0.0, plan=StepPlan(prefill={each.id: 16 for each in requests})))
    return policy


@pytest.mark.parametrize(
    ("inner", "plan"),
    [
        (StepPlan(), StepPlan(replan_after=14)),
        (StepPlan(replan_at=6.5, replan_after=3), StepPlan(replan_at=6.5, replan_after=3)),
        (StepPlan(decode=(0,)), StepPlan(decode=(0,), replan_at=8.0, replan_after=30)),
        (StepPlan(decode=(0,), replan_at=6.5, replan_after=3), StepPlan(decode=(0,), replan_at=6.5, replan_after=3)),
        (StepPlan(decode=(0,), replan_at=8.5, replan_after=99), StepPlan(decode=(0,), replan_at=8.0, replan_after=30)),
    ],
)
def test_it_asks_again_when_there_may_be_a_miss_or_its_inner_policy_wants_to(inner: StepPlan, plan: StepPlan) -> None:
    # 1, where it pauses, is due at 8; steps of more than 2 s read more than 64 tokens, each two or one more than 32
    running = [decoding(0, 8, 4, first=1.0), decoding(1, 8, 4, first=1.0)]
    running[0]._last_token_time = running[1]._last_token_time = 6.0
    policy = told_of(DropOnMiss(inner=Says(answer=inner), on="tbt", tbt=2.0), *running)
    assert policy.plan(view_of(running, now=6.0, step_time=lambda batch: 1.0 + batch.kv_tokens / 64)) == plan


@pytest.mark.parametrize(
    ("runs", "waits", "plan"),
    [
        (True, True, StepPlan(prefill={2: 16}, decode=NONE)),
        (False, True, StepPlan(prefill={2: 16}, decode=NONE)),
        (True, False, StepPlan()),
        (False, False, StepPlan(decode=NONE)),  # there is nobody left to plan for
    ],
)
def test_an_inner_policy_plans_for_the_rest_in_the_iteration_of_a_drop(runs: bool, waits: bool, plan: StepPlan) -> None:
    late, running, waiting = request(0, 16), [decoding(1, 16, 4, first=1.0)] * runs, [request(2, 16, 8.0)] * waits
    policy = told_of(DropOnMiss(inner="fcfs", ttft=5.0), late, *running, *waiting)
    assert policy.plan(view_of(running, [late, *waiting], now=9.0)) == plan._replace(drop={0: "missed ttft"})


def test_who_is_dropped_does_not_decode_though_an_inner_policy_repeats_that_it_should() -> None:
    running = [decoding(0, 16, 4, first=1.0), decoding(1, 16, 4, first=6.0)]
    policy = told_of(DropOnMiss(inner=Says(answer=StepPlan(decode=(0, 1))), ttft=5.0), *running)
    assert policy.plan(view_of(running, now=9.0)) == StepPlan(decode=(0,), drop={1: "missed ttft"})
