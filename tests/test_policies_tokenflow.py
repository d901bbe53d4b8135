"""What tokenflow decides, by its rules, worked out by hand."""

from __future__ import annotations

import pytest

from policies.tokenflow import TokenFlow, _blocks_to_start, _that_can_come_back
from simulator import DECODE_ALL, NONE, StepPlan
from simulator.plan_check import check_plan
from simulator.request import RequestState
from tests.policy_views import decoding, host_memory, request, view_of


def full(id: int, seconds: float, now: float = 10.0) -> RequestState:
    """60 tokens, 1/s, of which the reader has `seconds` left; 5 blocks."""
    return decoding(id, 20, 60, first=now - 60.0 + seconds, speed=1.0)


def swapped(id: int, seconds: float) -> RequestState:
    state = full(id, seconds)
    state.swapped_tokens, state._cached = state._cached, 0
    return state


def test_the_buffer_is_what_is_there_less_what_was_read() -> None:
    flow = TokenFlow(speed=5.0)
    assert flow.buffer(decoding(0, 8, 30, first=4.0, speed=3.0), 10.0) == 4.0
    assert flow.buffer(decoding(0, 8, 30, first=4.0), 10.0) == 0.0
    assert flow.buffer(request(0, 8, arrival=7.0), 10.0) == -3.0


def test_the_emptiest_buffers_are_admitted_first() -> None:
    queue = [request(0, 8, arrival=9.0), request(1, 8, arrival=4.0), request(2, 8, arrival=7.0)]
    plan = TokenFlow().plan(view_of([], queue, now=10.0, max_num_seqs=2))
    assert plan == StepPlan(prefill={1: 8, 2: 8}, decode=NONE)


def test_the_fullest_buffer_makes_room_for_the_emptiest() -> None:
    runs = [full(0, 5.0), full(1, 9.0), full(2, 3.0)]
    newcomer = request(3, 8, arrival=9.5)
    seats = {"now": 10.0, "max_num_seqs": 3}
    assert TokenFlow().plan(view_of(runs, [newcomer], **seats)) == StepPlan(
        prefill={3: 8}, decode=NONE, preempt={1: "recompute"}
    )
    assert TokenFlow(preempt_above=9.0).plan(view_of(runs, [newcomer], **seats)) == StepPlan(replan_after=10)
    assert TokenFlow().plan(view_of(runs, [], **seats)) is DECODE_ALL
    # 15 of 15 blocks are held, 8 are needed: two victims, the fullest first
    large = request(3, 8 * 16, arrival=9.5)
    tight = TokenFlow().plan(view_of(runs, [large], now=10.0, num_blocks=15))
    assert list(tight.preempt) == [1, 0]
    assert tight.prefill == {3: 128}


@pytest.mark.parametrize(("prompt", "victims"), [(80, [1]), (81, [1, 0]), (160, [1, 0]), (161, [])])
@pytest.mark.parametrize("watermark", [0, 1])
def test_no_more_make_room_than_it_takes_and_nobody_if_they_do_not(
    prompt: int, victims: list[int], watermark: int
) -> None:
    runs = [full(0, 5.0), full(1, 9.0), full(2, 3.0)]  # five blocks each, and the last is not full enough
    view = view_of(runs, [request(3, prompt, arrival=9.5)], now=10.0, num_blocks=15 + watermark)
    view.kv.watermark_blocks = watermark
    assert list(TokenFlow().plan(view).preempt) == victims


def test_who_makes_room_for_a_cache_takes_no_next_block_either() -> None:
    # three caches of five blocks, each about to take a sixth; two blocks are free, and the newcomer takes five
    runs = [decoding(i, 21, 60, first=-50.0 + seconds, speed=1.0) for i, seconds in enumerate([5.0, 9.0, 3.0])]
    view = view_of(runs, [swapped(3, 0.5)], now=10.0, num_blocks=17)
    plan = TokenFlow().plan(view)
    assert plan == StepPlan(resume=(3,), preempt={1: "recompute"})
    check_plan(plan, view)


def test_a_buffer_that_lasts_displaces_nobody() -> None:
    runs = [full(0, 9.0)]
    for seconds in (1.0, 1.5):
        view = view_of(runs, [swapped(1, seconds)], now=10.0, max_num_seqs=1)
        assert TokenFlow().plan(view) == StepPlan(replan_after=10)
    plan = TokenFlow().plan(view_of(runs, [swapped(1, 0.5)], now=10.0, max_num_seqs=1))
    assert plan == StepPlan(resume=(1,), preempt={0: "recompute"})


def test_swapped_requests_come_back_when_there_is_room() -> None:
    waiting = [swapped(1, 50.0), swapped(2, 40.0), request(3, 8, arrival=9.0)]
    assert TokenFlow().plan(view_of([full(0, 9.0)], waiting[:2], now=10.0)) == StepPlan(resume=(2, 1))
    assert TokenFlow().plan(view_of([full(0, 9.0)], waiting, now=10.0)) == StepPlan(prefill={3: 8}, decode=NONE)


def test_a_cache_is_swapped_if_that_takes_less_than_to_prefill_it() -> None:
    # 79 tokens take 79 s to prefill; twice moved at 0.4 s a token 63.2 s, at 0.6 s 94.8 s
    newcomer = request(1, 8, arrival=9.5)

    def how(seconds_per_token: float, num_blocks: int = 5) -> str:
        memory = host_memory(num_blocks, seconds_per_token)
        view = view_of([full(0, 9.0)], [newcomer], now=10.0, max_num_seqs=1, swap=memory)
        return TokenFlow().plan(view).preempt[0]

    assert how(0.4) == "swap"
    assert how(0.5) == "recompute"  # 79 s either way
    assert how(0.6) == "recompute"
    assert how(0.4, num_blocks=4) == "recompute"


@pytest.mark.parametrize(
    ("num_blocks", "how"),
    [
        (11, ["swap", "swap"]),
        (10, ["swap", "recompute"]),
        (6, ["swap", "recompute"]),
        (5, ["recompute", "swap"]),
        (4, ["recompute", "recompute"]),
    ],
)
def test_victims_share_the_host_memory_in_order(num_blocks: int, how: list[str]) -> None:
    longer = decoding(0, 22, 60, first=10.0 - 60.0 + 9.0, speed=1.0)  # six blocks, the other has five
    view = view_of([longer, full(1, 5.0)], [request(2, 11 * 16)], now=10.0, num_blocks=11)
    view.swap = host_memory(num_blocks, 0.25)
    assert list(TokenFlow().plan(view).preempt.items()) == [(0, how[0]), (1, how[1])]


def test_blocks_that_just_suffice_for_the_decodes_displace_nobody() -> None:
    last = decoding(0, 21, 60, first=-41.0, speed=1.0)  # its next token takes the last block
    view = view_of([last], [request(1, 40, arrival=10.0)], now=10.0, num_blocks=6)
    assert (view.kv.needed_next, view.kv.free) == (1, 1)
    assert TokenFlow(preempt_above=99.0).plan(view) == StepPlan(replan_after=10)


def test_a_shortage_takes_the_fullest() -> None:
    # caches of 80 tokens: each takes a sixth block now, one is free
    runs = [decoding(i, 21, 60, first=10.0 - 60.0 + seconds, speed=1.0) for i, seconds in enumerate([5.0, 9.0, 3.0])]
    assert TokenFlow().plan(view_of(runs, [], now=10.0, num_blocks=16)).preempt == {1: "recompute"}


@pytest.mark.parametrize(("tokens", "blocks"), [(79, 5), (80, 6)])
def test_who_comes_back_needs_room_for_the_next_token_too(tokens: int, blocks: int) -> None:
    state = request(1, 200)
    state.swapped_tokens = tokens
    assert _blocks_to_start(view_of(waiting=[state], now=10.0), state) == blocks
    assert _that_can_come_back(view_of(waiting=[state], now=10.0, num_blocks=blocks), [state]) == (1,)
    assert _that_can_come_back(view_of(waiting=[state], now=10.0, num_blocks=blocks - 1), [state]) == ()


def test_who_comes_back_leaves_the_next_blocks_of_those_who_run_and_the_watermark() -> None:
    # 16 cached tokens of who runs, a block for the next one, five for who comes back, and two that are kept free
    for num_blocks, back in [(9, (1,)), (8, ())]:
        view = view_of([decoding(0, 16, 1, first=9.0)], [swapped(1, 0.5)], now=10.0, num_blocks=num_blocks)
        view.kv.watermark_blocks = 2
        assert _blocks_to_start(view, view.waiting[1]) == 5 + 1
        assert _that_can_come_back(view, [view.waiting[1]]) == back
