"""Parts of Andes by themselves: batch sizes to try, evictions, and who comes back from host memory."""

from __future__ import annotations

from functools import partial
from itertools import product
from math import inf, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from policies.andes.exchange import Exchange
from policies.andes.guards import Refine, cheapest_eviction
from policies.andes.policy import _swapped
from policies.andes.pressure import Pressure
from policies.andes.reading import Expectation, Reading
from policies.andes.selection import _batch_sizes, _gain, _step_time
from policies.andes.standing import Standing
from simulator import Batch
from simulator.swap_space import HostLink, SwapSpace
from tests.policy_views import decoding, request, view_of
from tests.test_andes import scene


@pytest.mark.parametrize(("prompt", "num_blocks", "back"), [(31, 6, True), (32, 6, False), (32, 7, True)])
def test_a_swapped_request_comes_back_into_the_last_blocks_that_its_next_token_needs(
    prompt: int, num_blocks: int, back: bool
) -> None:
    # the one who runs holds 3 blocks, and a fourth for its next token; queue and KV exert no pressure here
    swap = SwapSpace(64.0, HostLink(1.0, 1e6), 16)
    view = scene([(40, 9, 2.0)], [(prompt, 0.0)], num_blocks=num_blocks, swap=swap)
    view.waiting[1].swapped_tokens = prompt
    view.swap.free = 1
    assert _swapped(view) == ((1,) if back else ())


@pytest.mark.parametrize(
    ("speed", "largest", "num", "sizes"),
    [
        (4.0, 2, 8, [2]),  # two take 0.2 s, which is fast enough for everyone
        (4.0, 3, 8, [3, 2]),  # three are too slow for the strictest
        (4.0, 12, 3, [12, 7, 2]),
        (4.0, 12, 1, [2]),
        (20.0, 3, 8, [3, 2, 1]),  # even one is too slow
    ],
)
def test_batch_sizes_to_try_go_down_to_the_largest_that_is_fast_enough(
    monkeypatch: pytest.MonkeyPatch, speed: float, largest: int, num: int, sizes: list[int]
) -> None:
    monkeypatch.setattr("policies.andes.selection._step_time", lambda standing, size: 0.1 * size)
    standing: Any = SimpleNamespace(readers=SimpleNamespace(speed=np.array([1.0, speed])))
    assert _batch_sizes(standing, largest, num) == sizes


def test_who_is_perfect_and_will_only_be_so_if_served_is_to_be_saved() -> None:
    now, served, waiting = (np.array(column) for column in zip(*product([0.98, 0.99], repeat=3), strict=True))
    outlook: Any = SimpleNamespace(if_served=lambda rate: served, now=lambda: now)
    saved = np.flatnonzero(_gain(outlook, waiting, 4.0, "perfect"))
    assert [(now[i], served[i], waiting[i]) for i in saved] == [(0.99, 0.99, 0.98)]


def test_the_cheaper_eviction_is_by_all_that_recomputing_takes() -> None:
    asked: list[Batch] = []

    def again(batch: Batch) -> float:
        asked.append(batch)
        return 1.0

    view = scene([(30, 11, 2.0), (8, 3, 2.0)], swap=SwapSpace(64.0, HostLink(1.0, 100.0), 16))
    view.predict_step_time = again
    evict = partial(cheapest_eviction, view.running[0], view)  # 40 tokens in three blocks: 0.4 s each way
    assert [evict(3), evict(2)] == [("swap", 0.8), ("recompute", 1.0)]
    assert asked == [Batch(40, 0, 40 * 41 // 2, 0, 0, 1)] * 2
    assert cheapest_eviction(view.running[1], view, 1) == ("swap", 0.2)  # 10 tokens in one block
    view.predict_step_time = lambda batch: 0.8
    assert evict(3) == ("recompute", 0.8)


@pytest.mark.parametrize(("gain", "allowed"), [(0.25, False), (0.2501, True)])
def test_a_gain_must_exceed_what_the_others_lose(gain: float, allowed: bool) -> None:
    outlook = SimpleNamespace(if_served=lambda rate, after=0.0: np.ones(3) - 0.25 * after)
    standing: Any = SimpleNamespace(outlook=outlook)
    selection: Any = SimpleNamespace(rate=4.0, gain=np.array([gain, 0.0, 0.0]))
    assert Refine(standing, selection, inf).allows(0, [1], 1.0) is allowed


@pytest.mark.parametrize(("gain", "allowed"), [(0.25, False), (0.2501, True)])
def test_a_second_newcomer_must_gain_more_than_the_others_lose_by_its_own_overhead(gain: float, allowed: bool) -> None:
    # an overhead of 1 s costs three others 0.25 each; one of 2 s costs two 0.5 each, once there are two victims
    outlook = SimpleNamespace(if_served=lambda rate, after=0.0: np.ones(5) - 0.25 * after)
    standing: Any = SimpleNamespace(outlook=outlook)
    selection: Any = SimpleNamespace(rate=4.0, gain=np.array([1.0, gain, 0.0, 0.0, 0.0]))
    refine = Refine(standing, selection, inf)
    assert refine.allows(0, [3], 1.0)
    assert refine.allows(1, [3, 4], 2.0) is allowed


def test_the_time_of_an_iteration_is_estimated_by_the_blocks_that_are_held() -> None:
    asked: list[Batch] = []

    def slow(batch: Batch) -> float:
        asked.append(batch)
        return 0.26

    view = scene([(30, 11, 2.0), (8, 3, 2.0)])  # three blocks and one, and readers of 4 tokens/s
    view.predict_step_time = slow
    assert Pressure(0.9, True, 5.0).on(view)
    assert asked == [Batch(0, 0, 0, 2, 4 * 16, 2)]


@pytest.mark.parametrize(
    ("speeds", "strictest"), [((2.0, 1.0), 2.0), ((2.0, nan), 4.0), ((nan, 6.0), 6.0), ((nan, nan), 4.0)]
)
def test_the_strictest_reader_is_the_fastest_and_one_of_whom_nobody_said_is_as_fast_as_was_given(
    speeds: tuple[float, float], strictest: float
) -> None:
    view = view_of([decoding(i, 16, 2, first=0.0, speed=speed) for i, speed in enumerate(speeds)], now=1.0)
    assert Pressure(0.9, True, 4.0).strictest(view) == strictest


def test_the_time_of_a_batch_size_is_that_of_requests_of_mean_context() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 1.0

    view: Any = SimpleNamespace(kv=SimpleNamespace(num_blocks=9, block_size=16), predict_step_time=remembered)
    standing: Any = SimpleNamespace(view=view, blocks=np.array([1, 4]))
    assert [_step_time(standing, size) for size in (1, 2, 4)] == [1.0] * 3
    assert asked == [Batch(0, 0, 0, size, tokens, size) for size, tokens in ((1, 40), (2, 80), (4, 9 * 16))]


def test_a_request_holds_no_more_blocks_in_the_end_than_there_are_beside_the_watermark() -> None:
    view = scene([(30, 11, 2.0), (8, 3, 2.0)], num_blocks=12)  # 41 and 11 tokens
    view.kv.watermark_blocks = 2
    reading = Reading(Expectation(4.0, 1.0))
    for each in view.running.values():
        reading.arrive(each)
    assert Standing.of(view, reading, 5.0, 16).blocks.tolist() == [4, 2]
    assert Standing.of(view, reading, 5.0, 160).blocks.tolist() == [10, 10]


def test_nobody_comes_back_where_nobody_is_swapped() -> None:
    assert _swapped(scene([(40, 9, 2.0)], [(31, 0.0)])) == ()


@pytest.mark.parametrize(("seats", "back"), [(1, ()), (2, (1,)), (3, (1, 2))])
def test_as_many_come_back_as_there_are_seats(seats: int, back: tuple[int, ...]) -> None:
    swap = SwapSpace(64.0, HostLink(1.0, 1e6), 16)
    view = scene([(40, 9, 2.0)], [(31, 0.0), (31, 0.0)], swap=swap, max_num_seqs=seats)
    for each in view.waiting.values():
        each.swapped_tokens = 31
    view.swap.free = 0
    assert _swapped(view) == back


def test_who_has_no_room_to_come_back_does_not_keep_out_who_is_before() -> None:
    view = scene([(40, 9, 2.0)], [(31, 0.0), (31, 0.0)], num_blocks=7, swap=SwapSpace(64.0, HostLink(1.0, 1e6), 16))
    for each in view.waiting.values():
        each.swapped_tokens = 31
    view.swap.free = 0
    assert _swapped(view) == (1,)  # two of seven blocks, of which the other four are in use or about to be


@pytest.mark.parametrize(
    ("swapped", "prefill", "resume"), [([True, False, True], [], (0, 2)), ([False, True, False], [0, 2], ())]
)
def test_an_iteration_brings_back_or_prefills_as_the_first_newcomer_needs(
    swapped: list[bool], prefill: list[int], resume: tuple[int, ...]
) -> None:
    waiting = [request(i, 8) for i in range(3)]
    for each, was_swapped in zip(waiting, swapped, strict=True):
        each.swapped_tokens = 8 * was_swapped
    exchange: Any = Exchange.__new__(Exchange)
    exchange._standing = SimpleNamespace(view=view_of(waiting=waiting, now=0.0), request=waiting.__getitem__)
    exchange._newcomers, exchange._make_room = lambda: [0, 1, 2], lambda position, newcomer: True
    assert exchange._take_in() == (dict.fromkeys(prefill, 8), resume)


@pytest.mark.parametrize(("prompt", "free", "seats", "room"), [(15, 1, 1, True), (16, 1, 1, False), (15, 1, 0, False)])
def test_a_newcomer_needs_a_seat_and_blocks_for_its_prompt_and_a_token(
    prompt: int, free: int, seats: int, room: bool
) -> None:
    exchange: Any = Exchange.__new__(Exchange)
    exchange._kv = view_of(now=0.0).kv
    exchange._free, exchange._seats, exchange._expendable = free, seats, []
    assert exchange._make_room(0, request(0, prompt)) is room
    assert (exchange._free, exchange._seats) == ((0, 0) if room else (free, seats))
