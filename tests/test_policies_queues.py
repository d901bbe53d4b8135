"""The queues that policies keep: who is next in them, and that nobody stays in them for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from policies import make_policy, policy_names
from policies.fair_share import FairShare
from policies.lcfs import Lcfs
from policies.least_slack import LeastSlack
from policies.ordering import SortedIds
from simulator import NONE, Batch, EngineLimits, PolicyEvent, RequestState, Status, StepPlan, simulate
from simulator.metrics.slo import SLO
from tests.policy_views import decoding, request, view_of
from tests.support import ConstantLatency, Machine, workload


def kept(value: Any) -> Iterator[Any]:
    """All that lies in the attributes, the containers and the policies within `value`."""
    yield value
    if hasattr(value, "__pydantic_private__"):
        yield from kept([*(value.__pydantic_private__ or {}).values(), *value.__dict__.values()])
    elif isinstance(value, dict):
        yield from kept([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from kept(each)


@pytest.mark.parametrize("spec", [*policy_names(), "srpt_oracle:preemptive=true"])
def test_when_all_have_left_nobody_is_remembered(spec: str) -> None:
    rng = np.random.default_rng(3)
    load = replace(
        workload(np.cumsum(rng.exponential(0.5, 60)).tolist(), rng.integers(1, 60, 60), rng.integers(1, 40, 60)),
        patience=rng.choice([2.0, np.inf], 60),
        client=rng.integers(0, 3, 60),
        request_class=np.zeros(60, dtype=int),
        class_names=("default",),
        class_slos=(SLO(ttft=2.0, tbt=1.0, tpot=1.0, speed=2.0),),
        expected_ttft=np.ones(60),
        predicted_output_length=rng.integers(1, 40, 60) + 0.5,
    )
    policy = make_policy(spec)
    log = simulate(load, policy, Machine(ConstantLatency(0.25), 200), limits=EngineLimits(max_num_seqs=4))
    assert {Status.FINISHED, Status.DROPPED} == set(log.status.tolist())
    found = list(kept(policy))
    assert [each for each in found if isinstance(each, RequestState)] == []
    assert [list(each) for each in found if isinstance(each, SortedIds) and len(each)] == []


@pytest.mark.parametrize("kind", ["finish", "drop"])
def test_a_queue_has_those_who_wait(kind: Literal["finish", "drop"]) -> None:
    policy, two = Lcfs(), [request(0, 16, arrival=0.0), request(1, 16, arrival=1.0)]
    for each in two:
        policy.on_event(PolicyEvent("arrival", each.arrival, each))
    assert list(policy._queue) == [(-1.0, 1), (0.0, 0)]
    policy.on_event(PolicyEvent("plan", 1.0, plan=StepPlan(prefill={1: 16})))
    assert list(policy._queue) == [(0.0, 0)]
    policy.on_event(PolicyEvent("plan", 2.0, plan=StepPlan(preempt={1: "recompute"})))
    assert list(policy._queue) == [(-1.0, 1), (0.0, 0)]
    policy.on_event(PolicyEvent(kind, 3.0, two[1]))
    assert list(policy._queue) == [(0.0, 0)]


def test_a_prefill_of_the_first_in_rank_decodes_nobody() -> None:
    policy, queue = Lcfs(), [request(1, 16, arrival=1.0), request(2, 24, arrival=2.0)]
    for each in queue:
        policy.on_event(PolicyEvent("arrival", each.arrival, each))
    view = view_of([decoding(0, 16, 1, first=0.0)], queue, now=3.0, max_num_seqs=2)
    assert policy.plan(view) == StepPlan(prefill={2: 24}, decode=NONE)


def test_each_prompt_is_charged_before_the_next_of_its_client_is_chosen() -> None:
    # client 0 has requests 0, 1 and 2, client 1 has 5 and 6, all of 16 tokens; equals go by id
    fair = FairShare()
    queue = [request(i, 16, client=int(i > 2)) for i in (0, 1, 2, 5, 6)]
    for each in queue:
        fair.on_event(PolicyEvent("arrival", 0.0, each))
    assert [each.id for each in fair._least_served_first(view_of(waiting=queue, now=1.0))] == [0, 5, 1, 6, 2]


def test_a_client_that_gives_up_before_it_was_served_owes_nothing() -> None:
    fair, gone = FairShare(), request(0, 16, client=7)
    fair.on_event(PolicyEvent("arrival", 0.0, gone))
    fair.on_event(PolicyEvent("drop", 1.0, gone))
    assert fair.served(7) == 0.0


def test_the_slack_of_who_decodes_reckons_with_a_decode_of_all_by_the_blocks_in_use() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 7.0

    runs = [decoding(i, prompt, 2, first=0.0) for i, prompt in enumerate((40, 10))]  # three blocks and one
    assert LeastSlack(ttft=1.0).decode_allowance(view_of(runs, now=5.0, step_time=remembered)) == 7.0
    assert asked == [Batch(0, 0, 0, 2, 4 * 16, 2)]
