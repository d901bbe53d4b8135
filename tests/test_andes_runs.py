"""Runs under Andes: when it helps, when it changes nothing, when it thrashes, and what it remembers."""

from __future__ import annotations

import numpy as np
import pytest

from policies import make_policy
from policies.andes.memory import Memory
from policies.andes.reading import Expectation
from simulator import EventKind, ReplicaView, RequestState, SchedulerPolicy, StepPlan, TokenLog, simulate
from simulator.metrics import User, per_request
from simulator.policy import PolicyEvent
from simulator.swap_space import HostLink
from simulator.workload import BurstCycle, load_length_table, synthetic_workload
from simulator.workload.workload import Workload
from tests.support import Machine, a100_like, workload

SWAPPING = Machine(a100_like(k=3e-7), 40_000, host_link=HostLink(524_288.0, 25e9))


def mean_qoe(log: TokenLog) -> float:
    return float(per_request(log, user=User(speed=5.0))["qoe"].mean())


def preemptions(log: TokenLog) -> int:
    assert log.events is not None
    return int(np.isin(log.events.kind, [EventKind.PREEMPT_RECOMPUTE, EventKind.PREEMPT_SWAP]).sum())


def throughput(log: TokenLog) -> float:
    return float(log.num_tokens().sum() / log.end.max())


def surge(seed: int, rate: float) -> Workload:
    arrivals = BurstCycle(rate, period=150.0)
    return synthetic_workload(arrivals, load_length_table("sharegpt"), window=150.0, seed=seed)


def test_in_a_surge_it_serves_people_better_than_fcfs_at_the_same_throughput() -> None:
    for seed in range(3):
        load = surge(seed, 6.0)
        fcfs, andes = (simulate(load, make_policy(name), SWAPPING) for name in ("fcfs", "andes"))
        assert mean_qoe(andes) > mean_qoe(fcfs) + 0.05
        assert throughput(andes) > 0.9 * throughput(fcfs)
        assert preemptions(andes) <= len(load) * 1.1
        share = andes.counters["num_iterations_under_pressure"] / andes.counters["num_iterations"]
        assert 0.1 < share < 0.9


def test_at_low_load_it_is_fcfs() -> None:
    load = surge(0, 1.5)
    fcfs, andes = (simulate(load, make_policy(name), SWAPPING) for name in ("fcfs", "andes"))
    assert np.array_equal(fcfs.token_times().times, andes.token_times().times)
    assert andes.counters["num_iterations_under_pressure"] == 0


def test_without_a_guard_it_thrashes_and_loses_to_fcfs() -> None:
    """The known failure: exchanges at every iteration spend the time on prefilling the same prompts again."""
    load, machine = workload([0.1 * i for i in range(40)], 2000, 100), Machine(a100_like(a=1e-8), 16_000)
    fcfs = simulate(load, make_policy("fcfs"), machine)
    unguarded = simulate(load, make_policy("andes:guard=off:quantum=1"), machine)
    guarded = simulate(load, make_policy("andes"), machine)
    assert preemptions(unguarded) > 4.9 * len(load)
    assert mean_qoe(unguarded) < mean_qoe(fcfs) - 0.1
    assert unguarded.end.max() > 10 * fcfs.end.max()
    assert mean_qoe(guarded) > mean_qoe(fcfs)
    assert preemptions(guarded) <= len(load)


@pytest.mark.parametrize(
    "spec",
    [
        "andes",
        "andes:quantum=1",
        "andes:quantum=3:guard=off:objective=max_min",
        "andes:guard=cap:objective=perfect:kv_pressure=0.2",
        "andes:guard=refine:quantum=5:queue_pressure=false",
        "andes:horizon=1:speed=100:num_batch_sizes=3",
    ],
)
def test_leaping_changes_nothing(spec: str) -> None:
    load, machine = surge(1, 6.0), Machine(a100_like(k=3e-7), 20_000, host_link=SWAPPING.host_link)
    leapt, stepped = (simulate(load, make_policy(spec), machine, leap=leap) for leap in (True, False))
    assert leapt == stepped
    pressed = "num_iterations_under_pressure"
    assert leapt.counters[pressed] == stepped.counters[pressed] > 0


def test_swapping_and_recomputing_both_happen() -> None:
    log = simulate(surge(1, 6.0), make_policy("andes:quantum=5"), SWAPPING)
    assert log.events is not None
    assert (log.events.kind == EventKind.PREEMPT_SWAP).any()
    assert (log.events.kind == EventKind.PREEMPT_RECOMPUTE).any()


class Watched(SchedulerPolicy):
    """Notes how late Andes takes the readers to be, at every plan."""

    inner: SchedulerPolicy
    seen: dict[int, list[tuple[float, int, float, float, float]]] = {}  # noqa: RUF012

    def plan(self, view: ReplicaView) -> StepPlan:
        memory: Memory = self.inner._memory  # type: ignore[attr-defined]
        ids, readers, _ = memory.reading.standing(view)
        for i, tokens, delay, early, late in zip(
            ids.tolist(), readers.tokens, readers.delay, readers.early_tokens, readers.early_delay, strict=True
        ):
            self.seen.setdefault(i, []).append((view.now, int(tokens), delay, early, late))
        return self.inner.plan(view)

    def on_event(self, event: PolicyEvent) -> None:
        self.inner.on_event(event)


def test_what_is_remembered_is_what_readers_lived_through() -> None:
    """The delay of the newest token, and the sum of those before the last stall, as the log has them."""
    load = workload([0.1 * i for i in range(40)], 600, 150)
    policy = Watched(inner=make_policy("andes:quantum=4:guard=off"))
    log = simulate(load, policy, Machine(a100_like(), 6_000, host_link=HostLink(131_072.0, 25e9)))
    assert preemptions(log) > 30
    checked = 0
    for i, rows in policy.seen.items():
        times, _ = log.token_times(i, i + 1)
        ideal = log.arrival[i] + 1.0 + np.arange(len(times)) / 5.0
        late = np.maximum.accumulate(np.maximum(times - ideal, 0.0))
        for now, tokens, delay, early, early_delay in rows:
            assert tokens == (times <= now).sum()
            if tokens:
                assert delay == pytest.approx(late[tokens - 1], abs=1e-9)
                before = early_delay + (tokens - early) * delay
                assert before == pytest.approx(late[:tokens].sum(), abs=1e-6)
                checked += 1
    assert checked > 1000


def test_readers_of_whom_nobody_said_expect_what_the_paper_says() -> None:
    for prompt, ttft in ((1, 1.0), (9_999, 1.0), (10_000, 2.0), (25_001, 5.0)):
        assert Expectation(5.0, None).ttft_of(RequestState(0, 0.0, prompt)) == ttft
    told = RequestState(0, 0.0, 9, expected_ttft=3.0, speed=2.0)
    assert (Expectation(5.0, 7.0).ttft_of(told), Expectation(5.0, 7.0).speed_of(told)) == (3.0, 2.0)
    assert Expectation(5.0, 7.0).ttft_of(RequestState(0, 0.0, 9)) == 7.0
