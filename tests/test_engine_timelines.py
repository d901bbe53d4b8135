"""Three-request timelines, worked out by hand; times are dyadic, so equality is exact."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from policies import make_policy
from simulator import (
    NONE,
    EngineLimits,
    EventKind,
    ReplicaView,
    SchedulerPolicy,
    Status,
    StepPlan,
    TokenLog,
    simulate,
)
from simulator.latency import Batch
from simulator.swap_space import HostLink
from tests.support import ConstantLatency, Machine, check_invariants, workload


class TokensTakeTime:
    """1 s an iteration, and 1/64 s more for each prefill token: linear, so with a closed form."""

    def step_time(self, batch: Batch) -> float:
        return 1.0 + batch.prefill_tokens / 64

    def decode_run(self, num_decodes: int, kv_tokens: int) -> tuple[float, float]:
        return 1.0, 0.0


def tokens(log: TokenLog) -> list[list[float]]:
    times, offsets = log.token_times()
    return [times[a:b].tolist() for a, b in pairwise(offsets)]


LOAD = workload([0.0, 0.5, 4.0], [64, 32, 64], [3, 2, 2])


@pytest.mark.parametrize("leap", [True, False])
def test_fcfs_prefills_first(leap: bool) -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime()), leap=leap)
    # 0–2 prefill of 0; 2–3.5 prefill of 1, which 0 has to sit through; 3.5–4.5 both decode, 1 is done;
    # 2 came at 4: 4.5–6.5 its prefill; 6.5–7.5 decode of 0 and 2, both done.
    assert tokens(log) == [[2.0, 4.5, 7.5], [3.5, 4.5], [6.5, 7.5]]
    assert log.end.tolist() == [7.5, 4.5, 7.5]
    assert log.runs is not None
    assert log.runs.start.tolist() == [0.0, 2.0, 3.5, 4.5, 6.5]
    assert log.runs.num_decodes.tolist() == [0, 0, 2, 0, 2]
    assert log.runs.prefill_tokens.tolist() == [64, 32, 0, 64, 0]
    # caches when decoding at 3.5: 64 and 32 tokens, plus the one being fed; at 6.5: 65 + 64, plus those
    assert log.runs.kv_tokens.tolist() == [0, 0, 98, 0, 131]
    # 64 tokens hold 4 blocks, 32 hold 2; each takes a new one for its first decode
    assert log.runs.kv_blocks.tolist() == [4, 6, 8, 9, 10]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_chunked_prefill_decodes_never_wait(leap: bool) -> None:
    log = simulate(LOAD, make_policy("chunked_prefill:token_budget=33"), Machine(TokensTakeTime()), leap=leap)
    # 0–1.515625: 33 of 0. Then its other 31 with 2 of 1 (budget 33), as long; 0's first token.
    # Then 0 decodes beside the other 30 of 1 (31 tokens): 1 + 30/64 s; first token of 1.
    # Request 2 came at 4: 31 of its tokens go along with the decodes of 0 and 1, which are done then.
    # Then its other 33, and one decode.
    a = 2 * (1 + 33 / 64)
    b = a + 1 + 30 / 64
    c = b + 1 + 31 / 64
    d = c + 1 + 33 / 64
    assert tokens(log) == [[a, b, c], [b, c], [d, d + 1]]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_an_arrival_on_a_boundary_is_seen_at_it(leap: bool) -> None:
    load = workload([0.0, 4.0, 4.5], [16, 16, 16], [10, 2, 1])
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), leap=leap)
    # 0 decodes at 2, 3, 4; at 4.0 request 1 is there: prefill 4–5; 2 came at 4.5: prefill 5–6; then decodes.
    assert tokens(log)[1:] == [[5.0, 7.0], [6.0]]
    assert tokens(log)[0] == [1.0, 2.0, 3.0, 4.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]


@pytest.mark.parametrize("leap", [True, False])
def test_a_full_cache_preempts_the_latest_arrival(leap: bool) -> None:
    load = workload([0.0, 0.0], [32, 32], [18, 18])
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0), kv_capacity_tokens=16 * 5), leap=leap)
    # One prefill of both (4 of 5 blocks), 1 s. The first decode needs 2 blocks, 1 is free: request 1 goes back with
    # 1 token and a cache of nothing. Request 0 decodes alone: 16 tokens in one block, then 2 blocks are free …
    assert log.events is not None
    kinds = log.events.kind.tolist()
    assert kinds.count(EventKind.PREEMPT_RECOMPUTE) == 1
    assert log.events.request[kinds.index(EventKind.PREEMPT_RECOMPUTE)] == 1
    assert log.events.time.tolist() == [0.0, 0.0, 1.0, 18.0]
    assert kinds == [EventKind.ADMIT, EventKind.ADMIT, EventKind.PREEMPT_RECOMPUTE, EventKind.RESUME]
    # … but the recomputation of 33 tokens takes 3 blocks and 2 are free: request 1 waits until 0 is done, at 18.
    assert tokens(log)[0] == [float(t) for t in range(1, 19)]
    assert tokens(log)[1] == [1.0, *[float(t) for t in range(19, 36)]]
    assert (log.status == Status.FINISHED).all()
    check_invariants(log, EngineLimits())


class Scripted(SchedulerPolicy):
    """Gives `scripted` while now is in [start, end) and it may, else prefills all that waits, else decodes all."""

    start: float
    end: float
    scripted: Any

    def plan(self, view: ReplicaView) -> StepPlan:
        if self.start <= view.now < self.end and all(i in view.running for i in self.scripted.drop):
            return self.scripted
        if view.waiting:
            return StepPlan(prefill={r.id: r.num_tokens_to_prefill for r in view.waiting.values()}, decode=NONE)
        return StepPlan()


@pytest.mark.parametrize("leap", [True, False])
def test_a_request_left_out_of_the_decodes_pauses_and_keeps_its_cache(leap: bool) -> None:
    policy = Scripted(start=1.0, end=4.0, scripted=StepPlan(decode=[0], replan_at=3.5))
    log = simulate(workload([0.0, 0.0], 16, [6, 4]), policy, Machine(ConstantLatency(1.0)), leap=leap)
    # both get their first token at 1; only request 0 decodes until the first boundary from 3.5 on, 4; then both
    assert tokens(log) == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 5.0, 6.0, 7.0]]
    assert log.segments is not None
    assert log.segments.request.tolist() == [0, 1, 1]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_a_drop_keeps_the_tokens_and_frees_the_cache(leap: bool) -> None:
    policy = Scripted(start=4.0, end=5.0, scripted=StepPlan(drop={0: "late"}))
    log = simulate(workload([0.0, 3.5], 16, [50, 2]), policy, Machine(ConstantLatency(1.0)), leap=leap)
    assert tokens(log) == [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0]]
    assert log.status.tolist() == [Status.DROPPED, Status.FINISHED]
    assert log.reason == ("late", "")
    assert log.end.tolist() == [4.0, 6.0]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_a_policy_may_wait_if_it_says_until_when(leap: bool) -> None:
    policy = Scripted(start=0.0, end=2.5, scripted=StepPlan(replan_at=2.5))
    log = simulate(workload([0.0], 16, 2), policy, Machine(ConstantLatency(1.0)), leap=leap)
    assert tokens(log) == [[3.5, 4.5]]


class SwapsAtThree(SchedulerPolicy):
    """Swaps request 0 out at 3 s, lets it come back at the first boundary from 10 s on, and else does as fcfs."""

    def plan(self, view: ReplicaView) -> StepPlan:
        if view.now == 3.0:
            return StepPlan(preempt={0: "swap"})
        if 0 in view.waiting and view.waiting[0].swapped_tokens:
            if view.now >= 10.0:
                return StepPlan(resume=[0])
            return StepPlan(replan_at=10.0)
        if view.now < 3.0 and not view.waiting:
            return StepPlan(replan_at=3.0)
        return make_policy("fcfs").plan(view)


@pytest.mark.parametrize("leap", [True, False])
def test_a_swapped_request_takes_its_time_both_ways_and_computes_nothing_again(leap: bool) -> None:
    machine = Machine(ConstantLatency(1.0), host_link=HostLink(kv_bytes_per_token=8.0, bytes_per_s=32.0))
    log = simulate(workload([0.0, 0.0], [14, 16], [5, 20]), SwapsAtThree(), machine, leap=leap)
    # by 3.0 request 0 has 3 tokens and 16 cached, which take 4 s to move: the step of request 1 ends at 8.0; it goes
    # on alone until 10.0, when moving back makes the step of both end at 15.0
    assert tokens(log)[0] == [1.0, 2.0, 3.0, 15.0, 16.0]
    assert tokens(log)[1][:8] == [1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 15.0, 16.0]
    assert log.events is not None
    assert log.events.kind.tolist() == [0, 0, EventKind.PREEMPT_SWAP, EventKind.RESUME]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_until_stops_at_the_next_boundary(leap: bool) -> None:
    load = workload([0.0, 2.25, 9.0], [16, 16, 16], [50, 50, 1])
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), until=5.5, leap=leap)
    assert tokens(log) == [[1.0, 2.0, 3.0, 5.0, 6.0], [4.0, 5.0, 6.0]]
    assert log.status.tolist() == [Status.UNFINISHED] * 2
    assert np.isnan(log.end).all()
    assert log.meta["until"] == 5.5
    on_a_boundary = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), until=5.0, leap=leap)
    assert tokens(on_a_boundary) == [[1.0, 2.0, 3.0, 5.0], [4.0, 5.0]]


def test_closed_loop_clients_submit_when_one_of_theirs_ends() -> None:
    load = workload([0.0] * 4, 16, [3, 5, 2, 1])
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), max_concurrency=2)
    # both are prefilled 0–1 and decode until 0 ends at 3; request 2 is submitted then and prefilled at once, 3–4
    assert log.arrival.tolist() == [0.0, 0.0, 3.0, 5.0]
    assert tokens(log)[2] == [4.0, 5.0]
    check_invariants(log, EngineLimits())


@pytest.mark.parametrize("leap", [True, False])
def test_a_user_without_a_token_leaves_when_patience_ends(leap: bool) -> None:
    load = workload([0.0, 0.25, 0.25, 1.0], 16, [6, 2, 2, 1])
    load = replace(load, patience=np.array([np.inf, 1.5, 1.75, 0.5]))
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), leap=leap)
    # 1 and 2 are prefilled from 1 to 2: too late for 1, who left at 1.75, and just in time for 2.
    # 3 comes at 1.0 and is prefilled too; it has left at 1.5.
    assert tokens(log) == [[1.0, 3.0, 4.0, 5.0, 6.0, 7.0], [], [2.0, 3.0], []]
    assert log.status.tolist() == [Status.FINISHED, Status.DROPPED, Status.FINISHED, Status.DROPPED]
    assert log.reason == ("", "cancelled", "", "cancelled")
    assert log.end.tolist() == [7.0, 2.0, 3.0, 2.0]
    check_invariants(log, EngineLimits())


@dataclass
class Notes(ConstantLatency):
    """One second an iteration; remembers what was in each."""

    seconds: float = 1.0
    batches: list[Batch] = field(default_factory=list)

    def step_time(self, batch: Batch) -> float:
        self.batches.append(batch)
        return 1.0


def test_the_latency_model_is_told_what_an_iteration_computes() -> None:
    notes = Notes()
    load = workload([0.0, 0.0], [5, 6], [3, 2])
    simulate(load, make_policy("chunked_prefill:token_budget=7"), Machine(notes), leap=False)
    assert notes.batches[:2] == [
        # all 5 of request 0 and 2 of request 1: each token looks at itself and at those before it, 15 + 3 pairs
        Batch(prefill_tokens=7, prefill_context=0, attention_pairs=18, num_decodes=0, kv_tokens=0, num_requests=2),
        # request 0 decodes over 5 cached tokens and its own; 4 more of request 1 look at 3, 4, 5 and 6 tokens
        Batch(prefill_tokens=4, prefill_context=2, attention_pairs=18, num_decodes=1, kv_tokens=6, num_requests=2),
    ]


def test_a_preempted_request_goes_before_those_that_never_ran() -> None:
    load = workload([0.0, 0.0, 0.0], [32, 32, 16], [18, 18, 1])
    limits = EngineLimits(max_num_seqs=2)
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0), kv_capacity_tokens=16 * 5), limits=limits)
    # request 2 waits for a seat. Request 1 is preempted at 1.0, and its 3 blocks are not free before 0 ends at 18:
    # request 2, which would fit into one, now waits behind it
    assert tokens(log)[2] == [19.0]
    assert tokens(log)[1][1] == 19.0
