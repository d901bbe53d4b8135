"""The conformance suite passes our policies and catches each way of breaking the contract."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr

from policies import make_policy, policy_names
from policies.checks import NonConforming, check_policy
from policies.fcfs import Fcfs
from simulator import DECODE_ALL, NONE, PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan, simulate
from simulator.request_pool import RequestPool
from tests.erratic import Erratic
from tests.support import Machine, a100_like, workload


@pytest.mark.parametrize("spec", [*policy_names(), "chunked_prefill:token_budget=16", "srpt_oracle:preemptive=true"])
def test_every_policy_conforms(spec: str) -> None:
    check_policy(spec)


def test_a_policy_that_does_everything_conforms() -> None:
    check_policy(lambda: Erratic(seed=1))


class CountsItsPlans(Fcfs):
    _num_plans: int = PrivateAttr(default=0)

    def plan(self, view: ReplicaView) -> StepPlan:
        self._num_plans += 1
        return super().plan(view)


class TouchesTheView(Fcfs):
    def plan(self, view: ReplicaView) -> StepPlan:
        for request in view.waiting.values():
            request.num_preemptions += 1
        return super().plan(view)


class TossesACoin(Fcfs):
    def plan(self, view: ReplicaView) -> StepPlan:
        if view.num_decodes and random.random() < 0.5:
            return DECODE_ALL
        return super().plan(view)


class BreaksItsPromise(SchedulerPolicy):
    """Lets requests in only at even seconds, without saying when it wants to be asked."""

    def plan(self, view: ReplicaView) -> StepPlan:
        plan = Fcfs().plan(view)
        if plan.prefill and view.num_decodes and int(10 * view.now) % 2:
            return Fcfs().plan(view) if view.kv.needed_next > view.kv.free else DECODE_ALL
        return plan


class AsksTooMuch(SchedulerPolicy):
    def plan(self, view: ReplicaView) -> StepPlan:
        return StepPlan(prefill={r.id: r.num_tokens_to_prefill for r in view.waiting.values()})


class Waits(SchedulerPolicy):
    def plan(self, view: ReplicaView) -> StepPlan:
        return StepPlan(decode=NONE, replan_at=view.now + 1.0)


class KnowsTooMuch(Fcfs):
    """Looks where it must not, and lets odd output lengths wait."""

    truth: ClassVar[list[RequestPool]] = []

    def plan(self, view: ReplicaView) -> StepPlan:
        output_length = self.truth[-1]._output_length
        waiting = sorted(view.waiting, key=lambda i: (output_length[i] % 2, i))
        if waiting and not view.running:
            return StepPlan(prefill={waiting[0]: view.waiting[waiting[0]].num_tokens_to_prefill}, decode=NONE)
        return super().plan(view) if view.kv.needed_next > view.kv.free or not view.running else DECODE_ALL


@pytest.mark.parametrize(
    ("policy", "offence"),
    [
        (CountsItsPlans, "changed the policy's state"),
        (TouchesTheView, "changed what it was shown"),
        (TossesACoin, "two different plans"),
        (BreaksItsPromise, "asked at every iteration, the policy decides otherwise"),
        (AsksTooMuch, "an invalid plan"),
        (Waits, "it gets nowhere"),
    ],
)
def test_an_offence_is_named(policy: Callable[[], SchedulerPolicy], offence: str) -> None:
    random.seed(1)
    with pytest.raises(NonConforming, match=offence):
        check_policy(policy)


def test_a_policy_that_looks_at_output_lengths_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pool = RequestPool.__init__

    def leak(pool: RequestPool, *arguments: Any) -> None:
        KnowsTooMuch.truth.append(pool)
        make_pool(pool, *arguments)

    monkeypatch.setattr(RequestPool, "__init__", leak)
    with pytest.raises(NonConforming, match="output lengths yet to be seen"):
        check_policy(KnowsTooMuch)


class LooksAround(Fcfs):
    """Notes all that can be reached from what it is given."""

    _reached: list[Any] = PrivateAttr(default_factory=list)

    def on_event(self, event: PolicyEvent) -> None:
        if event.kind != "finish":  # by then the output length is known
            self._follow(event)

    def plan(self, view: ReplicaView) -> StepPlan:
        self._follow(view)
        return super().plan(view)

    def _follow(self, root: object) -> None:
        seen: dict[int, Any] = {}
        stack = [root]
        while stack:
            thing = stack.pop()
            if id(thing) not in seen and not isinstance(thing, type | ModuleType | FunctionType):
                seen[id(thing)] = thing
                stack.extend(gc.get_referents(thing))
        self._reached.extend(seen.values())


def test_the_output_length_is_out_of_reach() -> None:
    unmistakable = [100_003, 100_019]
    policy = LooksAround()
    simulate(workload([0.0, 1.0], 32, unmistakable), policy, Machine(a100_like()))
    assert policy._reached
    assert not [x for x in policy._reached if isinstance(x, int) and x in unmistakable]
    names = {type(x).__name__ for x in policy._reached}
    assert "ReplicaView" in names
    assert not names & {"Replica", "RequestPool", "Recorder", "Workload", "Clock"}


def test_parameters_are_checked() -> None:
    assert make_policy("chunked_prefill:token_budget=512").token_budget == 512  # type: ignore[attr-defined]
    for spec, piece in [
        ("fcsf", "did you mean fcfs"),
        ("chunked_prefill:token_budget=0", "token_budget"),
        ("chunked_prefill:token_budget=many", "not 'many'"),
        ("chunked_prefill:budget=1", "no parameter 'budget' (it has token_budget)"),
        ("chunked_prefill:token_budget", "not of the form parameter=value"),
        ("chunked_prefill:token_budget=1:token_budget=2", "given twice"),
        ("fcfs:x=1", "it has none"),
    ]:
        with pytest.raises(ValueError, match="polic") as error:
            make_policy(spec)
        assert piece in str(error.value)
        assert "\n" not in str(error.value)
