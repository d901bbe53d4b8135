"""What fcfs and chunked_prefill answer to one view, by their papers' rules."""

from __future__ import annotations

from collections.abc import Sequence

from policies import make_policy
from simulator import DECODE_ALL, NONE, EngineLimits, ReplicaView, RequestState, StepPlan
from simulator.kv_cache import KVCache
from simulator.request import DecodeClock
from simulator.swap_space import SwapSpace
from tests.support import a100_like


def view(
    waiting: Sequence[int] = (),
    decoding: Sequence[int] = (),
    prefilling: Sequence[tuple[int, int]] = (),
    *,
    num_blocks: int = 1000,
    watermark: float = 0.0,
    **limits: int,
) -> ReplicaView:
    """Waiting prompts; decoding requests by cached tokens; prefilling ones by (prompt, cached); ids in that order.

    The running ones arrived before the waiting ones, in the order given.
    """
    clock = DecodeClock()
    kv = KVCache(num_blocks, 16, watermark, clock)
    running: dict[int, RequestState] = {}
    partly: dict[int, RequestState] = {}
    for cached in decoding:
        request = RequestState(len(running), 0.125 * len(running), cached, clock)
        request._cached, request._generated, request._joined = cached, 1, 0
        kv.join(request)
        kv.free -= kv.blocks_for(cached)
        running[request.id] = request
    for prompt, cached in prefilling:
        request = RequestState(len(running), 0.125 * len(running), prompt, clock)
        request._cached = cached
        kv.free -= kv.blocks_for(cached)
        running[request.id] = partly[request.id] = request
    first = len(running)
    queue = {first + i: RequestState(first + i, 50.0 + i, prompt, clock) for i, prompt in enumerate(waiting)}
    model, swap = a100_like(), SwapSpace(0.0, None, 16)
    return ReplicaView(100.0, 7, queue, running, partly, kv, swap, EngineLimits(**limits), model.step_time)


def fcfs(of: ReplicaView) -> StepPlan:
    return make_policy("fcfs").plan(of)


def chunked(of: ReplicaView, token_budget: int = 512) -> StepPlan:
    return make_policy(f"chunked_prefill:token_budget={token_budget}").plan(of)


def test_fcfs_prefills_whole_prompts_in_order_and_nothing_else() -> None:
    assert fcfs(view([100, 200], [50])) == StepPlan(prefill={1: 100, 2: 200}, decode=NONE)
    assert fcfs(view([], [50])) is DECODE_ALL


def test_fcfs_stops_at_the_first_that_does_not_fit() -> None:
    assert fcfs(view([100, 900, 10], max_num_batched_tokens=1000, max_num_seqs=9)).prefill == {0: 100, 1: 900}
    assert fcfs(view([100, 901, 10], max_num_batched_tokens=1000, max_num_seqs=9)).prefill == {0: 100}
    assert fcfs(view([999, 1, 1], max_num_batched_tokens=1000, max_num_seqs=9)).prefill == {0: 999, 1: 1}
    assert fcfs(view([10, 10, 10], [5], max_num_seqs=3)).prefill == {1: 10, 2: 10}
    assert fcfs(view([10], [5], max_num_seqs=1)) is DECODE_ALL
    assert fcfs(view([160, 17, 16], num_blocks=12)).prefill == {0: 160, 1: 17}
    assert fcfs(view([160, 33, 16], num_blocks=12)).prefill == {0: 160}


def test_a_prompt_above_the_batched_tokens_goes_alone() -> None:
    limits = {"max_num_batched_tokens": 300, "max_num_seqs": 9}
    assert fcfs(view([301, 10], **limits)).prefill == {0: 301}
    assert fcfs(view([10, 301], **limits)).prefill == {0: 10}


def test_admission_leaves_the_watermark_free() -> None:
    # 100 blocks, 10 of them the watermark: 90 may be taken, 1440 tokens
    for policy in (fcfs, lambda v: chunked(v, 4000)):
        assert policy(view([1440], num_blocks=100, watermark=0.1)).prefill == {0: 1440}
        assert policy(view([1441], num_blocks=100, watermark=0.1)).prefill == {}
    # the decoding request holds a block and takes another one in the same iteration, when they share it
    assert fcfs(view([1440], [16], num_blocks=101, watermark=0.1)).prefill == {1: 1440}
    assert chunked(view([1440], [16], num_blocks=101, watermark=0.1), 4000).prefill == {}


def test_a_shortage_takes_the_fewest_of_the_latest_arrivals() -> None:
    # each holds two blocks and takes a third: 4 new ones needed
    assert fcfs(view([], [32] * 4, num_blocks=12)) is DECODE_ALL
    assert fcfs(view([], [32] * 4, num_blocks=11)).preempt == {3: "recompute"}  # gives back 2, and needs 1 less
    assert fcfs(view([], [32] * 4, num_blocks=9)).preempt == {3: "recompute"}
    assert fcfs(view([], [32] * 4, num_blocks=8)).preempt == {3: "recompute", 2: "recompute"}
    # 31 tokens take no new block: its preemption gives back 2 and saves none
    assert list(fcfs(view([], [32, 32, 31], num_blocks=6)).preempt) == [2]
    assert chunked(view([], [32] * 4, num_blocks=8)) == fcfs(view([], [32] * 4, num_blocks=8))


def test_chunks_fill_what_the_decodes_leave_of_the_budget() -> None:
    plan = chunked(view([600, 100], [50] * 12))
    assert plan.prefill == {12: 500}
    assert plan.decode == DECODE_ALL.decode
    assert chunked(view([100, 600], [50] * 12)).prefill == {12: 100, 13: 400}
    assert chunked(view([100], [50] * 12), 12) is DECODE_ALL
    assert chunked(view([100], [50] * 12), 13).prefill == {12: 1}


def test_prefills_begun_come_before_new_ones() -> None:
    assert chunked(view([300], [], [(600, 512)])).prefill == {0: 88, 1: 300}
    assert chunked(view([300], [], [(2000, 512)])).prefill == {0: 512}
    assert chunked(view([300], [50] * 12, [(2000, 512)]), 13).prefill == {12: 1}


def test_a_new_prefill_leaves_the_blocks_of_those_begun() -> None:
    # 25 blocks: one prefilling holds 4 of its 20, so 5 are for others
    assert chunked(view([80], [], [(320, 64)], num_blocks=25), 300).prefill == {0: 256, 1: 44}
    assert chunked(view([81], [], [(320, 64)], num_blocks=25), 300).prefill == {0: 256}
    assert chunked(view([80], [], [(320, 64)], num_blocks=24), 300).prefill == {0: 256}


def test_a_chunk_takes_no_more_than_the_free_blocks() -> None:
    # request 0 takes the last but two blocks for its decode: 32 tokens of room, and what is left of a begun block
    assert chunked(view([], [32], [(320, 60)], num_blocks=9), 300).prefill == {1: 36}
    assert chunked(view([], [32], [(320, 64)], num_blocks=7), 300) is DECODE_ALL


def test_the_engines_batched_tokens_bound_the_budget() -> None:
    assert chunked(view([500], [], max_num_batched_tokens=300, max_num_seqs=9)).prefill == {0: 300}


def test_chunks_of_as_many_newcomers_as_there_are_seats() -> None:
    three = view([10, 10, 10, 10], [40], max_num_seqs=4)
    assert make_policy("chunked_prefill").plan(three) == StepPlan(prefill={1: 10, 2: 10, 3: 10})
