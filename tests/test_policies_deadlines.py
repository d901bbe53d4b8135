"""What edf and least_slack decide, as timelines worked out by hand; times are dyadic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings

from policies import make_policy
from policies.deadlines import Bounds, least_time_to_token, next_deadline, prefill_time
from policies.edf import Edf
from policies.promise import PromiseKeeper
from simulator import NONE, Batch, EventKind, PolicyEvent, ReplicaView, RequestState, StepPlan, simulate
from simulator.metrics.slo import SLO
from simulator.workload import Workload
from tests.policy_views import decoding, host_memory, request, second_a_token, view_of
from tests.support import ConstantLatency, Machine, workload
from tests.test_engine_leap import scenarios
from tests.timelines import MODES, ONE_SEAT, second_by_second, starts, tokens


def promised(load: Workload, classes: Sequence[int], *slos: SLO) -> Workload:
    names = tuple(f"class {i}" for i in range(len(slos)))
    return replace(load, request_class=np.array(classes), class_names=names, class_slos=slos)


@MODES
def test_edf_prefills_when_the_first_token_is_due_before_the_others(leap: bool) -> None:
    load = promised(workload([0.0, 0.5], 16, [8, 1]), [0, 1], SLO(ttft=9, tbt=3), SLO(ttft=6.5))
    log = second_by_second(load, "edf", leap=leap)
    # 1 is due at 7, request 0 always 3 s after its newest token: from 4 on no earlier than 1
    assert tokens(log) == [[1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0], [5.0]]


@MODES
def test_edf_follows_the_readers_deadlines(leap: bool) -> None:
    load = promised(workload([0.0, 0.5], 16, [6, 1]), [0, 1], SLO(speed=0.5), SLO(ttft=6.5))
    log = second_by_second(load, "edf", leap=leap)
    # with n tokens, at n, request 0 is due at 2(n + 1): at 3 that is 8, after the 7 of request 1
    assert tokens(log) == [[1.0, 2.0, 3.0, 5.0, 6.0, 7.0], [4.0]]
    hasty = replace(load, speed=np.array([1.0, np.nan]))
    # at n it is due at n + 1, and 7 comes first from 6 on: then it is done
    assert tokens(second_by_second(hasty, "edf", leap=leap))[1] == [7.0]


@MODES
def test_edf_admits_in_order_of_deadlines(leap: bool) -> None:
    slos = [SLO(ttft=bound) for bound in (9, 7, 5)]
    load = promised(workload([0.0, 0.25, 0.25, 0.25], 16, [2, 1, 1, 1]), [0, 0, 1, 2], *slos)
    assert starts(second_by_second(load, "edf", leap=leap, limits=ONE_SEAT)) == [0, 3, 2, 1]


def decides(spec: str, view: ReplicaView) -> StepPlan:
    """What the policy says when it has seen all come, and those who run be prefilled."""
    policy = make_policy(spec)
    for each in (*view.running.values(), *view.waiting.values()):
        policy.on_event(PolicyEvent("arrival", each.arrival, each))
    if view.running:
        policy.on_event(PolicyEvent("plan", 0.0, plan=StepPlan(prefill=dict.fromkeys(view.running, 1))))
    return policy.plan(view)


@pytest.mark.parametrize(
    ("spec", "due", "slo", "plan"),
    [
        ("edf", 20.0, SLO(tbt=3), StepPlan(replan_at=17.0)),
        ("edf", 20.0, SLO(speed=0.5), StepPlan(replan_after=4)),  # with 8 tokens, 2 + 9/0.5 is no earlier than 20
        ("edf", 13.0, SLO(speed=0.5), StepPlan(replan_after=1)),  # at present it is 2 + 5/0.5
        ("edf", 20.0, SLO(tpot=2), StepPlan(replan_after=4)),  # 5 + 8·2, and 5 + 7·2 is earlier
        ("edf", 20.0, SLO(speed=0.5, tpot=1.25), StepPlan(replan_after=8)),  # 5 + 12·1.25
        ("edf", 12.0, SLO(tbt=3, speed=0.75), StepPlan(replan_after=3)),  # by tbt it is not earlier now
        ("edf", 20.0, SLO(tbt=3, e2e=18), StepPlan(replan_at=17.0)),  # e2e: never later than 20
        ("edf", 20.0, SLO(tbt=3, e2e=10), StepPlan()),  # never later than 12
        ("edf", None, SLO(tbt=3), StepPlan()),
        ("edf", None, SLO(tpot=3), StepPlan()),
        ("least_slack", 28.0, SLO(tbt=3), StepPlan(replan_at=18.0)),  # 8 s to prefill, 1 s to decode: 28 − 8 + 1 − 3
    ],
)
def test_all_decode_until_who_waits_is_due_no_later_than_who_runs(
    spec: str, due: float | None, slo: SLO, plan: StepPlan
) -> None:
    # four tokens, the first at 5 and the newest at 9; the next one takes all blocks that are left
    runs = decoding(0, 29, 4, first=5.0, arrival=2.0, slo=slo)
    runs._last_token_time = 9.0
    waits = request(7, 8, slo=SLO(tbt=1) if due is None else SLO(ttft=due))
    assert decides(spec, view_of([runs], [waits], now=9.0, num_blocks=3)) == plan


def test_along_with_the_first_go_those_who_are_due_no_later_than_who_runs() -> None:
    runs = decoding(0, 29, 4, first=5.0, slo=SLO(tbt=3))
    runs._last_token_time = 9.0
    waiting = [request(100 + due, 8, slo=SLO(ttft=due)) for due in (14, 13, 12, 11)]
    assert decides("edf", view_of([runs], waiting, now=9.0)) == StepPlan(prefill={111: 8, 112: 8}, decode=NONE)


def test_of_two_with_the_same_slack_the_first_id_goes_first() -> None:
    # 10 − 4 and 16 − 10
    waiting = [request(5, 4, slo=SLO(ttft=10)), request(3, 10, slo=SLO(ttft=16))]
    assert list(decides("least_slack", view_of(waiting=waiting, now=0.0)).prefill) == [3, 5]


class AskedEachTime(Edf):
    """Promises nothing and decides anew at every boundary."""

    def plan(self, view: ReplicaView) -> StepPlan:
        return self.decide(view)


@settings(max_examples=100)
@given(scenario=scenarios())
def test_between_the_times_at_which_edf_decides_it_would_decide_the_same(scenario: Any) -> None:
    load, machine, limits, options = scenario
    load, exact = replace(load, arrival=np.round(4 * load.arrival) / 4), replace(machine, latency=ConstantLatency(0.25))
    seldom = simulate(load, Edf(), exact, limits=limits, **options)
    always = simulate(load, AskedEachTime(), exact, limits=limits, leap=False, **options)
    assert tokens(seldom) == tokens(always)


def test_edf_preempts_the_latest_due() -> None:
    load = promised(workload([0.0, 0.0], 32, [4, 4]), [0, 1], SLO(ttft=20, tbt=9), SLO(ttft=20, tbt=2))
    log = simulate(load, make_policy("edf"), Machine(ConstantLatency(1.0), 5 * 16))
    assert log.events is not None
    assert log.events.request[log.events.kind == EventKind.PREEMPT_RECOMPUTE].tolist() == [0]


def test_deadline_policies_need_promises_or_bounds_of_their_own() -> None:
    load = workload([0.0, 0.5], 16, [8, 1])
    for name in ("edf", "least_slack"):
        with pytest.raises(ValueError, match=f"{name}: request 0 was promised nothing"):
            second_by_second(load, name)
    assert tokens(second_by_second(load, "edf:ttft=6.5:tbt=3"))[1] == [5.0]
    assert tokens(second_by_second(replace(load, speed=np.array([0.5, 0.5])), "edf"))[1] == [2.0]


@pytest.mark.parametrize(
    ("bounds", "first", "fifth"),
    [
        (Bounds(1.0, inf, inf, inf, 0.0), 3.0, inf),
        (Bounds(inf, 3.0, inf, inf, 0.0), inf, 12.0),
        (Bounds(inf, inf, 1.5, inf, 0.0), inf, 11.0),
        (Bounds(inf, inf, inf, 8.0, 0.0), 10.0, 10.0),
        (Bounds(inf, inf, inf, inf, 0.5), 4.0, 12.0),
        (Bounds(9.0, 9.0, 9.0, 9.0, 0.5), 4.0, 11.0),
    ],
)
def test_the_next_token_is_due_when_the_earliest_bound_says(bounds: Bounds, first: float, fifth: float) -> None:
    waits, runs = request(0, 16, arrival=2.0), decoding(1, 16, 4, first=5.0, arrival=2.0)
    runs._last_token_time = 9.0
    assert (next_deadline(waits, bounds), next_deadline(runs, bounds)) == (first, fifth)


FULL = SLO(ttft=1, tbt=2, tpot=3, e2e=4, speed=5)


@pytest.mark.parametrize(
    ("policy", "slo", "speed", "bounds"),
    [
        (Edf(), FULL, nan, Bounds(1.0, 2.0, 3.0, 4.0, 5.0)),
        (Edf(), FULL, 6.0, Bounds(1.0, 2.0, 3.0, 4.0, 6.0)),
        (Edf(), SLO(ttft=1), 6.0, Bounds(1.0, inf, inf, inf, 0.0)),  # a speed is not what it was promised
        (Edf(), None, 6.0, Bounds(inf, inf, inf, inf, 6.0)),
        (Edf(tpot=0.5), FULL, 6.0, Bounds(inf, inf, 0.5, inf, 0.0)),
    ],
)
def test_whoever_has_an_slo_is_due_by_it_and_by_a_speed_of_its_own_where_that_has_one(
    policy: Edf, slo: SLO | None, speed: float, bounds: Bounds
) -> None:
    assert policy.bounds(request(0, 16, slo=slo, speed=speed)) == bounds


class TokensTakeTime:
    """1 s an iteration, and 1/64 s more for each prefill token."""

    def step_time(self, batch: Any) -> float:
        return float(1.0 + batch.prefill_tokens / 64)

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return 1.0, 0.0


@MODES
def test_least_slack_reckons_with_the_prefill(leap: bool) -> None:
    load = promised(workload([0.0, 0.5], 64, [8, 1]), [0, 1], SLO(ttft=9, tbt=3), SLO(ttft=7.5))
    of = {
        spec: simulate(load, make_policy(spec), Machine(TokensTakeTime()), leap=leap) for spec in ("edf", "least_slack")
    }
    # due at 8: edf starts its prefill, of 2 s, at 5; by slack 8 − 2 meets now + 3 − 1 at 4
    assert tokens(of["edf"])[1] == [7.0]
    assert tokens(of["least_slack"])[1] == [6.0]


@MODES
def test_of_two_that_are_due_together_the_longer_prompt_goes_first(leap: bool) -> None:
    load = promised(workload([0.0, 0.0, 0.0], [64, 32, 128], 1), [0, 0, 0], SLO(ttft=9))
    for spec, order in [("edf", [0, 1, 2]), ("least_slack", [2, 0, 1])]:
        log = simulate(load, make_policy(spec), Machine(TokensTakeTime()), leap=leap, limits=ONE_SEAT)
        assert starts(log) == order


class Fickle(PromiseKeeper):
    """Wants to be asked again after as many iterations as have been done."""

    def decide(self, view: ReplicaView) -> StepPlan:
        return StepPlan(replan_after=view.iteration)


def test_a_promise_stands_until_it_is_due_or_blocks_are_short() -> None:
    def at(iteration: int, num_blocks: int = 3) -> ReplicaView:  # two blocks are full, and the next token takes one
        return view_of([decoding(0, 31, 2, first=0.0)], now=1.0, iteration=iteration, num_blocks=num_blocks)

    policy = Fickle()
    assert policy.plan(at(4)) == StepPlan(replan_after=4)
    policy.on_event(PolicyEvent("plan", 1.0, plan=StepPlan(replan_after=4), iteration=4))
    assert [policy.plan(at(iteration)).replan_after for iteration in (5, 7, 8)] == [4, 4, 8]
    assert policy.plan(at(5, num_blocks=2)).replan_after == 5


@pytest.mark.parametrize("plan", [StepPlan(replan_after=5), StepPlan(replan_at=2.0)])
def test_a_promise_ends_with_an_event_and_not_with_its_repetition(plan: StepPlan) -> None:
    policy = make_policy("edf:tbt=1")
    policy.on_event(PolicyEvent("plan", 0.0, None, plan, 10))
    policy.on_event(PolicyEvent("plan", 1.0, None, plan, 12))
    assert policy._promised_after == 10  # type: ignore[attr-defined]
    policy.on_event(PolicyEvent("plan", 2.0, None, plan, 15))
    assert policy._promised_after == 15  # type: ignore[attr-defined]
    policy.on_event(PolicyEvent("arrival", 2.0, RequestState(0, 2.0, 16)))
    assert policy._promise is None  # type: ignore[attr-defined]


def test_a_prefill_is_estimated_by_all_that_it_computes() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 7.0

    view = view_of(now=0.0, step_time=remembered)
    assert prefill_time(view, 3, cached=5) == 7.0
    prefill_time(view, 3)
    assert asked == [Batch(3, 5, 3 * 5 + (1 + 2 + 3), 0, 0, 1), Batch(3, 0, 1 + 2 + 3, 0, 0, 1)]


@pytest.mark.parametrize(("seconds_per_token", "least"), [(0.0625, 40 * 0.0625 + 1.0), (1.0, 40.0)])
def test_a_swapped_request_comes_back_or_is_prefilled_again_whichever_is_faster(
    seconds_per_token: float, least: float
) -> None:
    swapped = request(1, prompt=40)
    view = view_of([decoding(0, 16, 4, first=0.0)], [swapped], now=5.0, swap=host_memory(10, seconds_per_token))
    assert least_time_to_token(view, view.running[0]) == 1.0
    assert least_time_to_token(view, swapped) == 40.0
    swapped.swapped_tokens = 40
    assert least_time_to_token(view, swapped) == least


def test_a_decode_is_estimated_alone_with_what_it_reads() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 7.0

    swapped = request(1, prompt=40)
    swapped.swapped_tokens = 40
    view = view_of([decoding(0, 16, 4, first=0.0)], [swapped], now=5.0, step_time=remembered)
    least_time_to_token(view, view.running[0])
    least_time_to_token(view, swapped)
    assert asked == [Batch(0, 0, 0, 1, 16 + 4, 1), Batch(40, 0, 40 * 41 // 2, 0, 0, 1), Batch(0, 0, 0, 1, 41, 1)]


def test_the_next_token_of_who_is_prefilling_takes_the_rest_of_the_prefill_and_of_who_pauses_a_decode() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return second_a_token(batch)

    state = request(0, prompt=40)
    state._cached = 30
    view = view_of(now=0.0, step_time=remembered)
    view.running[0] = view.prefilling[0] = state  # type: ignore[index]
    assert least_time_to_token(view, state) == 10.0
    assert asked == [Batch(10, 30, 10 * 30 + 10 * 11 // 2, 0, 0, 1)]
    del view.prefilling[0]  # type: ignore[attr-defined]
    assert least_time_to_token(view, state) == 1.0


@pytest.mark.parametrize("kind", ["finish", "drop"])
def test_who_has_left_is_forgotten(kind: Literal["finish", "drop"]) -> None:
    policy, gone = Edf(ttft=1.0), request(3, prompt=16)
    policy.on_event(PolicyEvent("arrival", 0.0, gone))
    assert policy._requests.keys() == {3}
    policy.on_event(PolicyEvent(kind, 1.0, gone))
    assert not policy._requests
    assert not len(policy._deadlines)
