"""What Andes decides on small views, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policies.andes import Andes
from policies.andes.memory import Memory
from policies.andes.pressure import Pressure
from policies.andes.reading import Expectation
from policies.andes.selection import Objective, select
from policies.andes.standing import Standing
from policies.fcfs import Fcfs
from simulator import NONE, Batch, EngineLimits, LatencyModel, PolicyEvent, ReplicaView, RequestState, StepPlan
from simulator.kv_cache import KVCache
from simulator.request import DecodeClock
from simulator.swap_space import HostLink, SwapSpace
from tests.support import ConstantLatency, a100_like

NOW = 100.0
SPEED = 4.0
Running = tuple[int, int, float]
"""Prompt, tokens generated, and the seconds that they have been expected for."""
Waiting = tuple[int, float]
"""Prompt, and the seconds that the first token has been expected for."""


def scene(
    running: Sequence[Running] = (),
    waiting: Sequence[Waiting] = (),
    *,
    num_blocks: int = 1000,
    latency: LatencyModel | None = None,
    swap: SwapSpace | None = None,
    **limits: int,
) -> ReplicaView:
    """Readers of 4 tokens/s who expect the first token after 1 s; nobody has read late so far; ids in order."""
    clock = DecodeClock()
    kv = KVCache(num_blocks, 16, 0.0, clock)
    decoding: dict[int, RequestState] = {}
    for prompt, tokens, due in running:
        request = RequestState(len(decoding), NOW - 1.0 - due, prompt, clock, expected_ttft=1.0, speed=SPEED)
        request._cached, request._generated, request._joined = prompt + tokens - 1, tokens, 0
        request.first_token_time, request._last_token_time = request.arrival + 0.5, NOW
        kv.join(request)
        kv.free -= kv.blocks_for(request._cached)
        decoding[request.id] = request
    queue: dict[int, RequestState] = {}
    for prompt, due in waiting:
        request_id = len(decoding) + len(queue)
        queue[request_id] = RequestState(request_id, NOW - 1.0 - due, prompt, clock, expected_ttft=1.0, speed=SPEED)
    model = latency or a100_like()
    space = swap or SwapSpace(0.0, None, 16)
    return ReplicaView(NOW, 7, queue, decoding, {}, kv, space, EngineLimits(**limits), model.step_time)


def decide(view: ReplicaView, **parameters: object) -> StepPlan:
    """What Andes answers when it has been told of everybody's arrival; horizon 5 s, contexts as they are."""
    policy = Andes.model_validate({"horizon": 5.0, "quantum": 1, **parameters})
    for request in (*view.running.values(), *view.waiting.values()):
        policy.on_event(PolicyEvent("arrival", request.arrival, request))
    return policy.plan(view)


RICH = (34, 31, 1.0)  # 64 tokens in the cache; of 31 tokens 4 are read, 27 last for 6.75 s: nothing to gain in 5 s
POOR = (60, 5, 1.0)  # 64 tokens in the cache; 1 token is left
SHORT = (34, 30, 1.0)  # 63 tokens, so that the next one takes no new block
NEW = (40, 0.0)  # 3 blocks; all of its QoE is to be gained


def test_without_pressure_it_is_fcfs() -> None:
    for view in (scene([RICH, POOR], [NEW]), scene([RICH, POOR]), scene([], [NEW, (100, 5.0)])):
        assert decide(view) == Fcfs().plan(view)


def test_a_newcomer_takes_the_place_of_who_has_enough_to_read() -> None:
    expected = StepPlan(prefill={2: 40}, decode=NONE, preempt={0: "recompute"}, replan_after=1)
    assert decide(scene([RICH, POOR], [NEW], max_num_seqs=2)) == expected
    # of 10 blocks 4 + 4 are taken, and the next token needs one each: none is left for the newcomer's 3
    assert decide(scene([RICH, POOR], [NEW], num_blocks=10)) == expected
    assert decide(scene([RICH, POOR], [NEW], num_blocks=13)) == StepPlan(prefill={2: 40}, decode=NONE)


def test_nobody_goes_for_who_gains_less() -> None:
    late = (640, 60.0)  # 41 blocks, and most of its QoE is lost: (5/65)² is left to gain
    assert decide(scene([POOR, POOR], [late], max_num_seqs=2), guard="off") == StepPlan(replan_after=1)


def test_the_best_gain_per_block_comes_first() -> None:
    waiting = [(400, 0.0), (40, 0.0), (90, 0.0)]
    plan = decide(scene([POOR], waiting, max_num_seqs=3, max_num_batched_tokens=1000))
    assert list(plan.prefill.items()) == [(2, 40), (3, 90)]
    # longer waits have less to gain from the same service: (5/9)² of the expected area instead of all
    plan = decide(scene([], [(40, 4.0), (40, 0.0)], max_num_seqs=1))
    assert plan.prefill == {1: 40}


def test_prefills_keep_to_the_batched_tokens_and_a_long_one_goes_alone() -> None:
    limits = {"max_num_seqs": 3, "max_num_batched_tokens": 100}
    assert decide(scene([], [NEW] * 4, **limits)).prefill == {0: 40, 1: 40}
    assert decide(scene([], [NEW] * 4, **{**limits, "max_num_batched_tokens": 120})).prefill == {0: 40, 1: 40, 2: 40}
    assert decide(scene([POOR] * 2, [(300, 0.0), (300, 0.0)], **limits)).prefill == {2: 300}


def test_the_cap_counts_preemptions_per_request() -> None:
    crowd = scene([RICH, RICH, RICH], [NEW, NEW, NEW], max_num_seqs=3)
    for p, num in ((0.0, 0), (0.16, 0), (0.17, 1), (0.4, 2), (0.5, 3), (1.0, 3)):  # of 6 requests
        for guard in ("cap", "both"):
            assert len(decide(crowd, guard=guard, max_mean_preemptions=p).preempt) == num
    for guard in ("off", "refine"):
        assert len(decide(crowd, guard=guard, max_mean_preemptions=0.0).preempt) == 3


def test_the_cap_counts_the_preemptions_so_far() -> None:
    crowd = scene([RICH, RICH, RICH], [NEW, NEW, NEW], max_num_seqs=3)
    policy = Andes(horizon=5.0, quantum=1, guard="cap", max_mean_preemptions=0.5)  # three, of six requests
    for request in (*crowd.running.values(), *crowd.waiting.values()):
        policy.on_event(PolicyEvent("arrival", request.arrival, request))
    policy.on_event(PolicyEvent("plan", NOW, None, StepPlan(preempt={0: "swap", 1: "swap"}), 5))
    assert len(policy.plan(crowd).preempt) == 1


def test_the_refiner_weighs_the_stall_of_the_others() -> None:
    # preempting costs one prefill of 64 tokens; nobody else is there to wait for it
    assert decide(scene([RICH], [NEW], max_num_seqs=1), guard="refine").preempt
    # it takes 1 s: each of 9 who starve loses 2·1/5 − (1/5)² of what the newcomer gains
    slow = {"latency": ConstantLatency(1.0), "max_num_seqs": 2}
    assert not decide(scene([RICH, RICH], [NEW] * 10, **slow), guard="refine", speed=0.5).preempt
    assert decide(scene([RICH, RICH], [NEW] * 10, **slow), guard="off").preempt
    # those who have enough to read lose nothing
    assert decide(scene([RICH] * 10, [NEW], latency=ConstantLatency(0.2), max_num_seqs=10), guard="refine").preempt


def test_exchanges_are_a_quantum_apart() -> None:
    view = scene([RICH, POOR], [NEW], max_num_seqs=2)
    policy = Andes(horizon=5.0, quantum=3)
    for request in (*view.running.values(), *view.waiting.values()):
        policy.on_event(PolicyEvent("arrival", request.arrival, request))
    exchange = policy.plan(view)
    assert exchange.preempt
    policy.on_event(PolicyEvent("plan", NOW, None, exchange, 7))
    view.iteration = 9
    assert policy.plan(view) == StepPlan(replan_after=3)
    view.iteration = 10
    assert policy.plan(view) == exchange


def test_swapping_is_used_where_it_is_cheaper_and_fits() -> None:
    def space(num_blocks: float, bytes_per_s: float) -> SwapSpace:
        return SwapSpace(16.0 * num_blocks, HostLink(1.0, bytes_per_s), 16)

    for swap, how in ((space(4, 1e6), "swap"), (space(3, 1e6), "recompute"), (space(4, 1e3), "recompute")):
        assert decide(scene([RICH, POOR], [NEW], max_num_seqs=2, swap=swap)).preempt == {0: how}


def test_a_swapped_request_comes_back_into_the_batch() -> None:
    view = scene([RICH, POOR], [(40, 0.0)], max_num_seqs=2, swap=SwapSpace(64.0, HostLink(1.0, 1e6), 16))
    view.waiting[2].swapped_tokens = 40
    view.swap.free = 1
    assert decide(view) == StepPlan(preempt={0: "recompute"}, resume=(2,), replan_after=1)
    view.limits = EngineLimits()
    assert decide(view) == StepPlan(resume=(2,))


def test_when_blocks_run_out_the_least_gain_goes_whatever_the_guard_says() -> None:
    # both caches are full blocks, and there is no block left for the next token
    for order in ([RICH, POOR], [POOR, RICH]):
        plan = decide(scene(order, num_blocks=8), max_mean_preemptions=0.0)
        assert plan == StepPlan(preempt={order.index(RICH): "recompute"}, replan_after=1)


def test_nobody_goes_but_for_the_blocks_that_are_short() -> None:
    # a block and four are all; who has one gains nothing in 2 s, and leaves it and the one that it would take next
    plan = decide(scene([(1, 16, 1.0), POOR], num_blocks=5), horizon=2.0)
    assert plan == StepPlan(preempt={0: "recompute"}, replan_after=1)


@pytest.mark.parametrize(
    ("view", "fires"),
    [
        (scene([SHORT] * 9, num_blocks=40), False),  # 36 of 40 blocks are in use: 90 % is not above 90 %
        (scene([SHORT] * 9, num_blocks=39), True),
        (scene([RICH] * 2, num_blocks=10), False),  # 8 of 10, and 2 for the next tokens
        (scene([RICH] * 2, num_blocks=9), True),
        (scene([RICH] * 2, [NEW], num_blocks=11), False),
        (scene([RICH] * 2, [NEW], num_blocks=10), True),
        (scene([RICH] * 2, [NEW], max_num_seqs=2), True),
        (scene([RICH] * 2, [NEW], max_num_seqs=3), False),
        (scene([RICH] * 2, latency=ConstantLatency(0.25)), False),
        (scene([RICH] * 2, latency=ConstantLatency(0.2501)), True),
    ],
)
def test_each_trigger_fires_at_its_bound(view: ReplicaView, fires: bool) -> None:
    assert Pressure(0.9, True, SPEED).on(view) == fires


def test_whom_only_the_watermark_keeps_out_is_pressure() -> None:
    view = scene([RICH] * 2, [NEW], num_blocks=11)
    view.kv.watermark_blocks = 1
    assert Pressure(0.9, True, SPEED).on(view)


def test_the_queue_trigger_is_a_switch() -> None:
    view = scene([RICH] * 2, [NEW], max_num_seqs=2)
    assert not Pressure(0.9, False, SPEED).on(view)
    assert decide(view, queue_pressure=False) == Fcfs().plan(view)


class Quadratic:
    """Two decode as fast as the readers read, more do not."""

    def step_time(self, batch: Batch) -> float:
        return batch.num_decodes**2 / 16


def served(view: ReplicaView, objective: Objective = "average") -> list[int]:
    """Ids that are selected to be served, over a horizon of 5 s."""
    memory = Memory(Expectation(SPEED, 1.0))
    for request in (*view.running.values(), *view.waiting.values()):
        memory.note(PolicyEvent("arrival", request.arrival, request))
    standing = Standing.of(view, memory.reading, 5.0, 1)
    selection = select(standing, objective, 8)
    return [int(i) for i in standing.ids[selection.serve]]


def test_a_smaller_batch_is_served_where_it_is_better_in_all() -> None:
    # 2 at 4 tokens/s: 2 · 1; 3 at 16/9: 3 · 4/9; 4 at 1: 4 · 1/4
    assert served(scene([], [NEW] * 4, latency=Quadratic())) == [0, 1]
    assert served(scene([], [NEW] * 4)) == [0, 1, 2, 3]
    crowd = scene([(40, 1, 0.0)] * 4, latency=Quadratic())
    assert list(decide(crowd, guard="off").preempt) == [3, 2]
    assert not decide(crowd, guard="refine").preempt


def test_a_newcomer_to_a_smaller_batch_takes_as_many_places_as_are_above_it() -> None:
    # of three and one, two are to run
    plan = decide(scene([RICH] * 3, [NEW], latency=Quadratic()), guard="off")
    assert plan == StepPlan(prefill={3: 40}, decode=NONE, preempt=dict.fromkeys((2, 1), "recompute"), replan_after=1)


def test_a_batch_shrinks_by_as_many_as_it_is_too_large_though_no_newcomer_may_come() -> None:
    # one preemption is left, and it would take two to seat the newcomer among two
    plan = decide(scene([RICH] * 3, [NEW], latency=Quadratic()), guard="cap", max_mean_preemptions=0.25)
    assert plan == StepPlan(preempt={2: "recompute"}, replan_after=1)


def test_nobody_goes_for_a_smaller_batch_in_which_no_more_is_gained() -> None:
    assert decide(scene([RICH] * 4, latency=Quadratic()), guard="off") == StepPlan(replan_after=1)


def test_nobody_goes_yet_for_the_blocks_that_will_be_short_before_the_quantum_is_over() -> None:
    # after 32 more tokens three need 7 blocks each, of 16
    plan = decide(scene([POOR] * 3, num_blocks=16), guard="off", quantum=32, kv_pressure=0.5)
    assert plan == StepPlan(replan_after=32)


@pytest.mark.parametrize(("watermark", "num"), [(0, 4), (1, 3)])
def test_as_many_are_served_as_fit_into_the_blocks_beside_the_watermark(watermark: int, num: int) -> None:
    view = scene([], [NEW] * 4, num_blocks=4 * 3)
    view.kv.watermark_blocks = watermark
    assert len(served(view)) == num


def test_objectives_choose_whom_their_name_says() -> None:
    # perfect: 5 tokens in time, of which the last is still to be read; after 5 s without more, 26.875 of 72 are read.
    # behind: the third token came 0.5 s late; 0.5 of 2 are read now, 15.375 of 72 after 5 s without more
    perfect, behind = (37, 5, 1.0), (37, 3, 1.0)
    view = scene([behind, perfect], [(40, 9.0)], max_num_seqs=1)
    assert served(view, "perfect") == [1]
    assert served(scene([perfect, behind], max_num_seqs=1), "max_min") == [1]  # down to 0.21 from 0.25, the minimum
    assert served(scene([perfect, behind], max_num_seqs=1), "perfect") == [0]
    # served, both would gain 45.125 of 72
    assert served(scene([perfect, behind], max_num_seqs=1), "average") == [0]
    assert served(scene([behind, perfect], max_num_seqs=1), "average") == [0]
