"""Whether a token is late, and when to look again, of single requests."""

from __future__ import annotations

from math import inf, nextafter

import pytest

from policies.deadlines import Bounds
from policies.gap_misses import GapWatch
from policies.misses import DeadlineWatch, _newest_is_late
from simulator import DECODE_ALL, Batch, PolicyEvent, StepPlan
from tests.policy_views import decoding, view_of


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
    runs[1]._last_token_time = -4.5
    assert watch.again(view_of(runs, now=0.0), StepPlan(decode=(0,))) == (3.5, None)  # when 1, which pauses, is late


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("bounds", "first", "last"),
    [
        (Bounds(1.0, inf, inf, inf, 0.0), 1.0, 9.0),
        (Bounds(inf, inf, 0.5, inf, 0.0), 4.0, 5.0),  # the third: two gaps after the first
        (Bounds(inf, inf, inf, inf, 2.0), 0.5, 1.5),
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
