"""The conformance suite: what the engine relies on in a policy, checked by one call on any policy.

from policies.checks import check_policy
check_policy("fcfs")                      # a registered one
check_policy(lambda: MyPolicy(depth=3))   # anybody's
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np

from policies.registry import make_policy
from simulator.latency import PiecewiseLinearLatency
from simulator.metrics.slo import SLO
from simulator.plan_check import InvalidPlan
from simulator.policy import EngineLimits, OraclePolicy, PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan, same_plan
from simulator.simulation import simulate
from simulator.token_log import Status, TokenLog
from simulator.workload.workload import Workload

_LATENCY = PiecewiseLinearLatency(t0=0.01, s_lo=2e-5, s_hi=6e-5, n_ridge=200, k=1e-6, kp=2e-8, a=1e-9)
_PLANS_PER_TOKEN = 20


class NonConforming(AssertionError):
    """A policy does not keep to the contract; the message says which part, and on which case."""


@dataclass(frozen=True)
class Case:
    """A small run: everything that a policy meets in it."""

    number: int
    workload: Workload
    limits: EngineLimits
    kv_capacity_tokens: int
    name: str = "checks/tp1"
    latency: PiecewiseLinearLatency = _LATENCY

    def run(self, policy: SchedulerPolicy, *, leap: bool = True, workload: Workload | None = None) -> TokenLog:
        """The log of this case under `policy`."""
        return simulate(workload or self.workload, policy, self, limits=self.limits, leap=leap)


def check_policy(policy: str | Callable[[], SchedulerPolicy], num_cases: int = 40) -> None:
    """Run every check on `num_cases` cases: bursts and trickles, large and hardly sufficient caches, one seat and many.

    Every request has an SLO, expectations, a client and a predicted output length, so that all policies have to choose.
    `policy` is a registered name with parameters, or makes a new policy at each call. Raises `NonConforming` at
    the first offence.
    """

    def make() -> SchedulerPolicy:
        return make_policy(policy) if isinstance(policy, str) else policy()

    for case in cases(num_cases):
        try:
            check_plan_only_decides(make, case)
            log = case.run(make(), leap=False)
            check_everyone_is_served(log, case)
            check_runs_repeat(make, case, log)
            check_promises_are_kept(make, case, log)
            check_future_is_not_seen(make, case)
        except InvalidPlan as error:
            raise NonConforming(f"case {case.number}: an invalid plan: {error}") from error


def cases(num_cases: int) -> Iterator[Case]:
    """Small random cases, the same ones each time."""
    for number in range(num_cases):
        rng = np.random.default_rng([20241014, number])
        n = int(rng.integers(1, 30))
        gaps = rng.exponential(rng.choice([0.002, 0.05, 0.5]), n) * (rng.random(n) < 0.7)
        prompt = rng.integers(1, int(rng.choice([20, 200])) + 1, n)
        output = rng.integers(1, int(rng.choice([5, 80])) + 1, n)
        watermark = float(rng.choice([0.0, 0.01]))
        blocks = -(-int((prompt + output).max()) // 16) + int(rng.choice([0, 2, 8, 1000]))
        blocks += int(watermark * blocks) + 1
        limits = EngineLimits(
            max_num_seqs=int(rng.choice([1, 3, 256])),
            max_num_batched_tokens=int(rng.choice([256, 8192])),
            watermark=watermark,
        )
        workload = Workload(f"case {number}", np.cumsum(gaps), prompt, output)
        yield Case(number, _with_people(workload, number), limits, blocks * 16)


def _with_people(workload: Workload, number: int) -> Workload:
    """Clients, two classes with promises that are hard and easy to keep, expectations and rough predictions."""
    rng = np.random.default_rng([20240115, number])
    n = len(workload)

    def promise(scale: float) -> SLO:
        ttft, tbt, tpot, e2e, seconds_per_token = scale * rng.choice([0.5, 1, 2, 8], 5) * [0.2, 0.05, 0.02, 1.0, 0.03]
        return SLO(ttft=ttft, tbt=tbt, tpot=tpot, e2e=e2e, speed=1 / seconds_per_token)

    return replace(
        workload,
        request_class=rng.integers(0, 2, n),
        class_names=("hurried", "patient"),
        class_slos=(promise(1.0), promise(5.0)),
        client=rng.integers(0, 3, n),
        expected_ttft=rng.choice([0.1, 1.0], n),
        speed=np.where(rng.random(n) < 0.5, rng.choice([5.0, 30.0], n), np.nan),
        predicted_output_length=workload.output_length * rng.lognormal(0.0, 0.5, n),
    )


def check_plan_only_decides(make: Callable[[], SchedulerPolicy], case: Case) -> None:
    """`plan` changes neither the policy nor what it is shown, asked twice it answers the same, and it gets done."""
    case.run(_Watched(inner=make(), on_plan=_ask_twice(case)), leap=False)


def check_everyone_is_served(log: TokenLog, case: Case) -> None:
    """Every request finishes or is dropped; nobody is forgotten."""
    left = np.flatnonzero((log.status != Status.FINISHED) & (log.status != Status.DROPPED))
    if len(left):
        raise NonConforming(f"case {case.number}: request {left[0]} neither finished nor was dropped")


def check_runs_repeat(make: Callable[[], SchedulerPolicy], case: Case, log: TokenLog) -> None:
    """The same case gives the same log: no hidden randomness, and nothing left over from the run before."""
    if case.run(make(), leap=False) != log:
        raise NonConforming(f"case {case.number}: two runs of the same case differ")


def check_promises_are_kept(make: Callable[[], SchedulerPolicy], case: Case, log: TokenLog) -> None:
    """A decode-only plan stands until an event or its replan time: asked at every iteration, the log is the same."""
    if case.run(make()) != log:
        raise NonConforming(
            f"case {case.number}: asked at every iteration, the policy decides otherwise than asked only after events; "
            "a plan whose reasons pass with time must say replan_at or replan_after"
        )


def check_future_is_not_seen(make: Callable[[], SchedulerPolicy], case: Case) -> None:
    """Until a request ends, its output length makes no difference to any plan, except to an oracle's."""
    if isinstance(make(), OraclePolicy):
        return
    longer = replace(case.workload, output_length=case.workload.output_length + 1)
    roomy = Case(case.number, case.workload, case.limits, case.kv_capacity_tokens + 32)
    short, long = _Diary(), _Diary()
    roomy.run(_Watched(inner=make(), on_plan=short), leap=False)
    roomy.run(_Watched(inner=make(), on_plan=long), leap=False, workload=longer)
    for (now, plan), (_, other) in zip(short.before_first_end(), long.plans, strict=False):
        if not same_plan(plan, other):
            raise NonConforming(f"case {case.number}: at {now:.6g} s the plan depends on output lengths yet to be seen")


class _Watched(OraclePolicy):
    """Passes everything on to `inner`, with `on_plan` standing by; the output lengths to an oracle only."""

    name = "watched, perhaps an oracle"

    inner: Any
    on_plan: Any

    def foresee(self, output_length: Sequence[int]) -> None:
        if isinstance(self.inner, OraclePolicy):
            self.inner.foresee(output_length)

    def plan(self, view: ReplicaView) -> StepPlan:
        plan: StepPlan = self.on_plan(self.inner, view)
        return plan

    def on_event(self, event: PolicyEvent) -> None:
        self.inner.on_event(event)
        if isinstance(self.on_plan, _Diary):
            self.on_plan.note(event)


class _Diary:
    """The plans of a run, and how many had been given when the first request ended."""

    def __init__(self) -> None:
        self.plans: list[tuple[float, StepPlan]] = []
        self._at_first_end: int | None = None

    def __call__(self, policy: SchedulerPolicy, view: ReplicaView) -> StepPlan:
        plan = policy.plan(view)
        self.plans.append((view.now, plan))
        return plan

    def note(self, event: PolicyEvent) -> None:
        if event.kind == "finish" and self._at_first_end is None:
            self._at_first_end = len(self.plans)

    def before_first_end(self) -> list[tuple[float, StepPlan]]:
        return self.plans[: self._at_first_end]


def _ask_twice(case: Case) -> Callable[[SchedulerPolicy, ReplicaView], StepPlan]:
    tokens = int((case.workload.prompt_length + case.workload.output_length).sum())
    num_asked = 0

    def ask(policy: SchedulerPolicy, view: ReplicaView) -> StepPlan:
        nonlocal num_asked
        num_asked += 1
        if num_asked > _PLANS_PER_TOKEN * tokens:
            raise NonConforming(f"case {case.number}: {num_asked} plans for {tokens} tokens: it gets nowhere")
        seen, memory = _snapshot(view), _memory(policy)
        plan = policy.plan(view)
        if _snapshot(view) != seen:
            raise NonConforming(f"case {case.number}: at {view.now:.6g} s `plan` changed what it was shown")
        if _memory(policy) != memory:
            raise NonConforming(f"case {case.number}: at {view.now:.6g} s `plan` changed the policy's state")
        if not same_plan(policy.plan(view), plan):
            raise NonConforming(f"case {case.number}: at {view.now:.6g} s asked twice, two different plans")
        return plan

    return ask


def _snapshot(view: ReplicaView) -> bytes:
    return _bytes((view.now, view.iteration, view.waiting, view.running, view.prefilling, view.kv))


def _memory(policy: SchedulerPolicy) -> bytes:
    return _bytes((policy.__dict__, policy.__pydantic_private__))


def _bytes(state: object) -> bytes:
    """`state` pickled, read-only mappings too: equal if nothing in it has changed."""
    buffer = BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {MappingProxyType: lambda proxy: (dict, (dict(proxy),))}
    try:
        pickler.dump(state)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NonConforming(f"what it remembers cannot be compared, for it cannot be pickled: {error}") from error
    return buffer.getvalue()
