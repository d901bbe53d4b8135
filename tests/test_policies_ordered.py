"""Defining decisions of the policies that order requests, as timelines worked out by hand; times are dyadic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from policies import make_policy
from policies.fair_share import FairShare
from policies.ordering import SortedIds, relief
from policies.srpt_oracle import SrptOracle
from policies.static_batching import StaticBatching
from simulator import DECODE_ALL, NONE, EngineLimits, EventKind, PolicyEvent, RequestState, StepPlan, simulate
from simulator.workload import Workload, with_predictions
from tests.policy_views import decoding, request, view_of
from tests.support import ConstantLatency, Machine, workload
from tests.timelines import MODES, ONE_SEAT, second_by_second, starts, tokens


@MODES
def test_static_batching_lets_nobody_join_a_batch_that_decodes(leap: bool) -> None:
    load = workload([0.0, 0.0, 0.5, 2.5], 16, [2, 4, 2, 1])
    log = second_by_second(load, "static_batching", leap=leap)
    # 2 comes before the batch decodes; 3 comes when it does, and waits until 1, the last of it, is done at 5
    assert tokens(log) == [[1.0, 3.0], [1.0, 3.0, 4.0, 5.0], [2.0, 3.0], [6.0]]
    assert tokens(second_by_second(load, "fcfs", leap=leap))[3] == [4.0]


def test_a_static_batch_has_a_size() -> None:
    load = workload([0.0] * 3, 16, [2, 2, 1])
    assert tokens(second_by_second(load, "static_batching:batch_size=2")) == [[1.0, 2.0], [1.0, 2.0], [3.0]]


def test_a_static_batch_is_filled_by_several_prefills() -> None:
    load = workload([0.0] * 3, 160, [2, 2, 2])
    log = second_by_second(load, "static_batching", limits=EngineLimits(max_num_batched_tokens=320))
    assert tokens(log) == [[1.0, 3.0], [1.0, 3.0], [2.0, 3.0]]


def test_a_prefill_of_a_static_batch_decodes_nobody() -> None:
    queue = [request(1, 16), request(2, 16)]
    plan = StaticBatching().plan(view_of([decoding(0, 16, 1, 0.0)], queue, now=1.0, max_num_seqs=2))
    assert plan == StepPlan(prefill={1: 16}, decode=NONE)


@MODES
def test_lcfs_serves_the_latest_first(leap: bool) -> None:
    load = workload([0.0, 0.25, 0.5, 0.75], 16, [2, 1, 1, 1])
    log = second_by_second(load, "lcfs", leap=leap, limits=ONE_SEAT)
    assert tokens(log) == [[1.0, 2.0], [5.0], [4.0], [3.0]]


def test_lcfs_preempts_the_earliest() -> None:
    # 2 blocks each, and a third for each decode: 5 blocks are one short
    load = workload([0.0, 0.0], [32, 32], [4, 4])
    load = replace(load, arrival=np.array([0.0, 0.5]))
    for spec, victim in [("fcfs", 1), ("lcfs", 0)]:
        log = simulate(load, make_policy(spec), Machine(ConstantLatency(1.0), 5 * 16))
        assert log.events is not None
        assert log.events.request[log.events.kind == EventKind.PREEMPT_RECOMPUTE].tolist() == [victim]


def test_sjf_goes_by_the_prediction_whatever_the_truth() -> None:
    load = replace(
        workload([0.0, 0.25, 0.25, 0.25], 16, [3, 1, 9, 5]), predicted_output_length=np.array([50.0, 30.0, 10.0, 20.0])
    )
    log = second_by_second(load, "sjf_predicted", limits=ONE_SEAT)
    assert starts(log) == [0, 2, 3, 1]
    with pytest.raises(ValueError, match="request 0 has no predicted output length; give the workload some"):
        second_by_second(workload([0.0], 16, 1), "sjf_predicted")


def test_predictions_have_the_stated_error() -> None:
    load = workload(np.zeros(40_000).tolist(), 16, 200)
    exact = with_predictions(load, sigma=0.0)
    assert (exact.predicted_output_length == 200.0).all()
    half = with_predictions(load, sigma=0.5, seed=3)
    error = half.predicted_output_length / 200.0
    assert error.mean() == pytest.approx(1.0, abs=4 * np.sqrt(np.expm1(0.25) / 40_000))
    assert np.log(error).std() == pytest.approx(0.5, rel=0.02)
    assert np.log(error).mean() == pytest.approx(-0.125, abs=0.01)
    assert (with_predictions(load, 0.5, seed=3).predicted_output_length == half.predicted_output_length).all()
    twice = np.log(with_predictions(load, 1.0, seed=3).predicted_output_length / 200.0) + 0.5
    np.testing.assert_allclose(twice, 2 * (np.log(error) + 0.125), atol=1e-12)
    first = with_predictions(workload([0.0] * 10, 16, 200), 0.5, seed=3)
    assert (first.predicted_output_length == half.predicted_output_length[:10]).all()
    for sigma in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"not {sigma}"):
            with_predictions(load, sigma)


@MODES
def test_srpt_gives_the_seat_to_whoever_has_less_to_come(leap: bool) -> None:
    load = workload([0.0, 1.5, 1.75], 16, [5, 1, 3])
    log = second_by_second(load, "srpt_oracle:preemptive=true", leap=leap, limits=ONE_SEAT)
    # at 2 request 0 has 3 to come: 1 displaces it, 2 has no less to come and does not
    assert tokens(log) == [[1.0, 2.0, 4.0, 5.0, 6.0], [3.0], [7.0, 8.0, 9.0]]
    log = second_by_second(load, "srpt_oracle", leap=leap, limits=ONE_SEAT)
    assert tokens(log) == [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0], [7.0, 8.0, 9.0]]


def test_srpt_displaces_no_more_than_makes_room() -> None:
    # 3 blocks of 32 tokens and one more each to decode; 3 comes with one token to give and needs 2 blocks
    load = replace(workload([0.0, 0.0, 0.0, 1.5], 32, [9, 20, 15, 1]))
    log = simulate(load, make_policy("srpt_oracle:preemptive=true"), Machine(ConstantLatency(1.0), 10 * 16))
    assert log.events is not None
    victims = log.events.request[log.events.kind == EventKind.PREEMPT_RECOMPUTE]
    assert victims.tolist()[:1] == [1]
    assert log.events.time[log.events.kind == EventKind.PREEMPT_RECOMPUTE].tolist()[0] == 2.0
    assert tokens(log)[3] == [3.0]


@pytest.mark.parametrize(("watermark", "victims"), [(0, {}), (1, {1: "recompute"})])
def test_srpt_makes_room_beyond_the_watermark(watermark: int, victims: dict[int, str]) -> None:
    # two blocks each, of six; request 1 has more to come than request 0, and 2 less than both
    runs, first = [decoding(0, 30, 2, 0.0), decoding(1, 30, 2, 0.0)], request(2, 32)
    policy = SrptOracle(preemptive=True)
    policy.foresee([8, 9, 1])
    policy.on_event(PolicyEvent("arrival", 0.0, first))
    view = view_of(runs, [first], now=1.0, num_blocks=6)
    view.kv.watermark_blocks = watermark
    assert policy._displacement(view) == StepPlan(prefill={2: 32}, decode=NONE, preempt=victims)


@pytest.mark.parametrize(("output_length", "victims"), [(5, {1: "recompute"}), (6, {1: "recompute"}), (7, {})])
def test_srpt_displaces_one_for_a_seat_and_nobody_with_as_little_to_come(
    output_length: int, victims: dict[int, str]
) -> None:
    # with two tokens each of 8 and 9, request 0 has 6 to come and request 1 has 7
    runs, first = [decoding(0, 30, 2, 0.0), decoding(1, 30, 2, 0.0)], request(2, 32)
    policy = SrptOracle(preemptive=True)
    policy.foresee([8, 9, output_length])
    policy.on_event(PolicyEvent("arrival", 0.0, first))
    plan = policy.plan(view_of(runs, [first], now=1.0, max_num_seqs=2))
    assert plan == (StepPlan(prefill={2: 32}, decode=NONE, preempt=victims) if victims else DECODE_ALL)


def test_srpt_minimises_the_mean_time_on_one_seat() -> None:
    rng = np.random.default_rng(1)
    load = workload(np.cumsum(rng.exponential(9.0, 300)).tolist(), 1, rng.geometric(0.1, 300).tolist())
    mean = {}
    for spec in ("srpt_oracle:preemptive=true", "srpt_oracle", "fcfs", "lcfs"):
        log = second_by_second(load, spec, limits=ONE_SEAT)
        mean[spec] = (log.end - log.arrival).mean()
    best, *others = mean.values()
    assert best < min(others)
    assert best < 0.6 * mean["fcfs"]


def of_clients(arrival: Sequence[float], client: Sequence[int], prompt: int = 16, output: int = 1) -> Workload:
    return replace(workload(arrival, prompt, output), client=np.array(client))


@MODES
def test_the_least_served_client_goes_first(leap: bool) -> None:
    load = of_clients([0.0, 0.0, 0.0, 0.5, 0.5], [0, 0, 0, 1, 1])
    log = second_by_second(load, "fair_share", leap=leap, limits=ONE_SEAT)
    # client 1 comes when client 0 has been charged 16 and is lifted to that; at 1 client 0 has 18, so 3 is next,
    # then it is 18 against 34, 36 against 34, 36 against 52
    assert starts(log) == [0, 3, 1, 4, 2]
    # with two seats it is 36 against 32 at 1, and the prompt of 3 is charged before the second seat is given
    assert starts(second_by_second(load, "fair_share", limits=EngineLimits(max_num_seqs=2))) == [0, 1, 3, 2, 4]


def test_a_returning_client_has_no_credit_for_its_absence() -> None:
    # client 1 was served long ago and little; in the meantime client 0 had everything
    load = of_clients([0.0, 0.0, *[1.0] * 6, 4.5, 4.5, 4.5], [0, 1, *[0] * 6, *[1] * 3])
    log = second_by_second(load, "fair_share", limits=ONE_SEAT)
    # at 4.5 client 1 is lifted from 18 to the 70 of client 0: in turns from there, and not 8, 9, 10
    assert starts(log) == [0, 1, 2, 3, 4, 8, 5, 9, 6, 10, 7]


def test_a_client_that_comes_to_an_empty_queue_is_lifted_to_the_last_that_left_it() -> None:
    load = of_clients([0.0, 5.0, 5.25, 5.25, 5.5], [0, 1, 0, 0, 1])
    policy = FairShare()
    log = simulate(load, policy, Machine(ConstantLatency(1.0)), limits=ONE_SEAT)
    # client 1 comes at 5 and is lifted from 0 to the 18 of client 0; at 5.25 it has been charged a prompt, 34, and
    # client 0 is lifted to that
    assert starts(log) == [0, 1, 2, 4, 3]
    assert policy.served(0) == 34 + 2 * (16 + 2)
    assert policy.served(1) == 18 + 2 * (16 + 2)


def test_served_cost_is_prompt_once_and_output_twice() -> None:
    load = of_clients([0.0, 0.0], [0, 1], prompt=32, output=40)
    policy = FairShare()
    log = simulate(load, policy, Machine(ConstantLatency(1.0), 6 * 16))
    assert log.events is not None
    assert (log.events.kind == EventKind.PREEMPT_RECOMPUTE).any()
    assert [policy.served(client) for client in (0, 1)] == [32 + 2 * 40] * 2
    costly = FairShare(prompt_weight=0.5, output_weight=4.0)
    simulate(load, costly, Machine(ConstantLatency(1.0)))
    assert costly.served(1) == 16 + 160


def test_output_in_the_system_counts_as_served() -> None:
    fair, served = FairShare(), request(0, 16, client=3)
    fair.on_event(PolicyEvent("arrival", 0.0, served))
    fair.on_event(PolicyEvent("plan", 0.0, plan=StepPlan(prefill={0: 16})))
    assert fair.served(3) == 16.0
    served._generated = 5
    assert fair.served(3) == 16 + 2 * 5
    assert fair.served(4) == 0.0


@pytest.mark.parametrize(("second", "preempted", "order"), [(2, 1, [0, 2, 5]), (7, 1, [0, 5, 7]), (2, 0, [0, 5, 2])])
def test_prefilling_a_preempted_request_again_costs_its_client_nothing(
    second: int, preempted: int, order: list[int]
) -> None:
    # client 0 has request 0, perhaps preempted, and another, client 1 has request 5: equals go by id
    fair, queue = FairShare(), [request(0, 16, client=0), request(second, 16, client=0), request(5, 16, client=1)]
    for each in queue:
        fair.on_event(PolicyEvent("arrival", 0.0, each))
    queue[0].num_preemptions = preempted
    assert [each.id for each in fair._least_served_first(view_of(waiting=queue, now=1.0))] == order


def test_a_victim_gives_its_blocks_and_what_it_would_have_taken_next() -> None:
    partly, full, waits = decoding(0, 30, 4, 0.0), decoding(1, 30, 3, 0.0), request(2, 32)
    view = view_of([partly, full], now=1.0)  # 33 and 32 tokens are cached
    waits._cached = 32
    assert [relief(view.kv, each) for each in (partly, full, waits)] == [3, 2 + 1, 2]


def test_one_client_alone_is_served_as_by_fcfs() -> None:
    rng = np.random.default_rng(5)
    load = workload(np.cumsum(rng.exponential(0.5, 60)).tolist(), rng.integers(1, 200, 60), rng.integers(1, 40, 60))
    machine, limits = Machine(ConstantLatency(0.25), 600), EngineLimits(max_num_seqs=4)
    fair, plain = (simulate(load, make_policy(name), machine, limits=limits) for name in ("fair_share", "fcfs"))
    assert replace(fair, meta=plain.meta) == plain


def test_ids_stay_sorted_by_their_numbers() -> None:
    ids = SortedIds()
    for request_id, number in [(3, 2.0), (1, 2.0), (7, 1.0), (5, 4.0)]:
        ids.put(request_id, number)
    ids.put(5, 0.5)
    ids.discard(7)
    ids.discard(99)
    assert list(ids) == [(0.5, 5), (2.0, 1), (2.0, 3)]
    assert ids.up_to(2.0) == [5, 1, 3]
    assert ids.up_to(1.9) == [5]
    assert (ids.next_after(0.5), ids.next_after(2.0)) == (2.0, np.inf)
    assert [r.id for r in ids.present({3: RequestState(3, 0.0, 1)})] == [3]
