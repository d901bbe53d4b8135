"""Every way in which a plan can be impossible is refused by name, and nothing has changed by then."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf
from typing import Any

import pytest

from policies.fcfs import Fcfs
from simulator import ALL, NONE, EngineLimits, InvalidPlan, ReplicaView, SchedulerPolicy, StepPlan, simulate
from tests.support import ConstantLatency, Machine, workload

LIMITS = EngineLimits(max_num_seqs=2, max_num_batched_tokens=64)


class Tries(SchedulerPolicy):
    """Prefills the first two requests in one iteration, then tries `attempt`."""

    attempt: Any

    def plan(self, view: ReplicaView) -> StepPlan:
        if not view.running:
            return StepPlan(prefill={0: 16, 1: 10}, decode=NONE)
        plan: StepPlan = self.attempt
        return plan


def offence(attempt: StepPlan, **changes: Any) -> str:
    """What is said of `attempt` when request 0 decodes, 1 has 6 tokens to prefill and 2 waits; 2 blocks are free."""
    machine = Machine(ConstantLatency(1.0), 4 * 16)
    load = workload([0.0, 0.0, 0.0], [16, 16, 32], 5)
    with pytest.raises(InvalidPlan) as error:
        simulate(load, Tries(attempt=attempt), machine, limits=LIMITS.model_copy(update=changes))
    return str(error.value)


CASES: list[tuple[StepPlan, str]] = [
    (StepPlan(preempt={2: "recompute"}), "preempt: request 2 is not running"),
    (StepPlan(preempt={0: "burn"}), "preempt: request 0: 'burn' is not a way to preempt"),  # type: ignore[dict-item]
    (StepPlan(preempt={0: "swap"}), "preempt: 1 blocks to swap, 0 of the swap space are free"),
    (StepPlan(preempt={1: "swap"}), "preempt: request 1 cannot be swapped before it is prefilled"),
    (StepPlan(resume=[2]), "resume: request 2 is not waiting to come back from host memory"),
    (StepPlan(resume=[0]), "resume: request 0 is not waiting to come back from host memory"),
    (StepPlan(drop={7: "late"}), "drop: request 7 is not in the system"),
    (StepPlan(drop={0: "late"}, preempt={0: "recompute"}), "drop: request 0 is preempted by the same plan"),
    (StepPlan(decode=[1]), "decode: request 1 is not running and prefilled"),
    (StepPlan(decode=[2]), "decode: request 2 is not running and prefilled"),
    (StepPlan(decode=[0], drop={0: "late"}), "decode: request 0 is not running and prefilled, or is removed"),
    (StepPlan(prefill={0: 1}), "prefill: request 0 is neither waiting nor being prefilled"),
    (StepPlan(prefill={1: 6}, preempt={1: "recompute"}), "prefill: request 1 is neither waiting nor"),
    (StepPlan(prefill={9: 1}), "prefill: request 9 is neither waiting nor being prefilled"),
    (StepPlan(prefill={1: 7}), "prefill: 7 tokens of request 1, which has 6 to prefill"),
    (StepPlan(prefill={1: 0}), "prefill: 0 tokens of request 1"),
    (StepPlan(prefill={1: 2.5}), "prefill: 2.5 tokens of request 1"),  # type: ignore[dict-item]
    (StepPlan(replan_after=2.5), "replan_after 2.5 is not a number of iterations"),  # type: ignore[arg-type]
    (StepPlan(decode=NONE, replan_at=inf), "nothing to run and no time to replan at"),
    (StepPlan(prefill={2: 8}), "3 requests running, over max_num_seqs 2"),
    (StepPlan(decode=NONE), "nothing to run and no time to replan at, with 1 waiting and 2 running"),
    (StepPlan(decode=[], replan_after=3), "nothing to run and no time to replan at"),
    (StepPlan(replan_at=1.0), "replan_at 1.0 is not after now, 1.0"),
    (StepPlan(replan_at=float("nan")), "replan_at nan is not after now"),
    (StepPlan(replan_after=0), "replan_after 0 is not a number of iterations"),
]


@pytest.mark.parametrize(("attempt", "message"), CASES)
def test_an_impossible_plan_is_named(attempt: StepPlan, message: str) -> None:
    assert message in offence(attempt)


def test_blocks_are_counted_before_anything_is_done() -> None:
    # request 0 takes its second block to decode, request 2 two for its prompt: 3, and 2 are free
    attempt = StepPlan(prefill={2: 32}, decode=ALL)
    assert offence(attempt, max_num_seqs=3) == "the plan needs 3 new KV blocks, 2 are free"


def test_a_preempted_request_frees_its_own_blocks_and_no_more() -> None:
    # request 1 holds 1 block, so 3 are free: request 0 takes one, and 33 tokens take three
    load = workload([0.0, 0.0, 0.0], [16, 16, 33], 5)
    attempt = Tries(attempt=StepPlan(prefill={2: 33}, preempt={1: "recompute"}))
    with pytest.raises(InvalidPlan, match="the plan needs 4 new KV blocks, 3 are free"):
        simulate(load, attempt, Machine(ConstantLatency(1.0), 4 * 16), limits=LIMITS)


def test_a_preemption_frees_its_blocks_for_the_same_plan() -> None:
    class Swaps(SchedulerPolicy):
        def plan(self, view: ReplicaView) -> StepPlan:
            if view.now == 0.0:
                return StepPlan(prefill={0: 16, 1: 10}, decode=NONE)
            if view.now == 1.0:
                return StepPlan(prefill={2: 32}, preempt={1: "recompute"})
            return Fcfs().plan(view)

    log = simulate(workload([0.0] * 3, [16, 16, 32], 5), Swaps(), Machine(ConstantLatency(1.0), 64), limits=LIMITS)
    assert log.runs is not None
    assert log.runs.kv_blocks[1] == 4


@pytest.mark.parametrize(
    ("prefill", "refused"), [({0: 65}, False), ({0: 64, 1: 1}, True), ({0: 60, 1: 4}, False), ({0: 65, 1: 1}, True)]
)
def test_only_one_prompt_alone_may_exceed_the_batched_tokens(prefill: dict[int, int], refused: bool) -> None:
    class Once(SchedulerPolicy):
        def plan(self, view: ReplicaView) -> StepPlan:
            todo = {i: n for i, n in prefill.items() if i in view.waiting}
            if todo:
                return StepPlan(prefill=todo, decode=NONE)
            rest = {r.id: r.num_tokens_to_prefill for r in view.prefilling.values()}
            fresh = dict.fromkeys(view.waiting, 1) if len(view.running) < 2 else {}
            return StepPlan(prefill=rest or fresh, decode=NONE) if rest or fresh else StepPlan()

    expected = pytest.raises(InvalidPlan, match="over max_num_batched_tokens 64") if refused else nullcontext()
    with expected:
        simulate(workload([0.0, 0.0], [70, 5], 1), Once(), Machine(ConstantLatency(1.0)), limits=LIMITS)
