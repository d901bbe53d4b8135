"""What Andes remembers between plans: which one stands and for how long, and what it counts."""

from __future__ import annotations

import pytest

from policies.andes import Andes
from policies.andes.memory import Memory
from policies.andes.reading import Expectation
from simulator import DECODE_ALL, PolicyEvent, ReplicaView, StepPlan
from tests.policy_views import decoding, request, view_of


def at(iteration: int, num_blocks: int = 3) -> ReplicaView:
    """Two blocks are full, and the next token takes a third."""
    return view_of([decoding(0, 31, 2, first=0.0)], now=1.0, iteration=iteration, num_blocks=num_blocks)


def noted(*plans: tuple[int, StepPlan]) -> Memory:
    """What is remembered of these plans, given after so many iterations, for three requests."""
    memory = Memory(Expectation(4.0, 1.0))
    for i in range(3):
        memory.note(PolicyEvent("arrival", 0.0, request(i, 16)))
    for iteration, plan in plans:
        memory.note(PolicyEvent("plan", 0.0, None, plan, iteration))
    return memory


def test_a_plan_made_under_pressure_stands_for_its_quantum_and_no_longer_for_being_given_again() -> None:
    plan = StepPlan(replan_after=3)
    memory = noted((7, plan), (8, plan))
    assert memory.promised is plan
    assert [memory.due(at(iteration)) for iteration in (8, 9, 10)] == [False, False, True]


def test_a_plan_stands_while_there_are_blocks_for_the_next_tokens_and_nothing_happens() -> None:
    memory = noted((7, DECODE_ALL))
    assert memory.promised is DECODE_ALL
    assert [memory.due(at(99, num_blocks)) for num_blocks in (3, 2)] == [False, True]
    memory.note(PolicyEvent("arrival", 0.0, request(3, 16)))
    assert memory.promised is None


@pytest.mark.parametrize(
    "plan",
    [
        StepPlan(prefill={0: 16}),
        StepPlan(preempt={0: "swap"}, replan_after=3),
        StepPlan(resume=(0,)),
        StepPlan(drop={0: "why"}),
    ],
)
def test_a_plan_that_does_more_than_decode_does_not_stand(plan: StepPlan) -> None:
    assert noted((7, plan)).promised is None


def test_iterations_under_pressure_and_preemptions_add_up() -> None:
    memory = noted(
        (2, StepPlan(replan_after=9)),
        (5, StepPlan(preempt={0: "swap", 1: "recompute"}, replan_after=9)),
        (6, DECODE_ALL),
        (11, StepPlan(preempt={2: "swap"}, replan_after=9)),
        (13, DECODE_ALL),
    )
    assert memory.num_iterations_under_pressure == (5 - 2) + (6 - 5) + (13 - 11)
    assert (memory.num_preemptions, memory.num_requests) == (3, 3)
    assert memory.since_exchange(15) == 15 - 11


def test_readers_of_whom_nobody_said_expect_what_the_policy_is_given() -> None:
    policy, asked = Andes(speed=2.0, ttft=7.0), request(0, 16, arrival=1.0)
    policy.on_event(PolicyEvent("arrival", 1.0, asked))
    _, readers, _ = policy._memory.reading.standing(view_of(waiting=[asked], now=10.0))
    assert (float(readers.due[0]), float(readers.speed[0])) == (10.0 - (1.0 + 7.0), 2.0)
