"""What goes into one batch of prefill, and who gives way to it; blocks have 16 tokens."""

from __future__ import annotations

import pytest

from policies.prefill_chunks import Chunks
from tests.policy_views import begin, decoding, request, view_of


def test_blocks_that_are_missing_are_taken_from_as_few_as_hold_them() -> None:
    runs = [decoding(i, 30, 2, first=1.0, arrival=float(i)) for i in range(3)]  # two blocks each, of nine
    newcomer = request(3, 80)
    for prompt, victims in ((40, []), (60, [2]), (80, [2]), (96, [2, 1])):
        newcomer.prompt_length = prompt
        view = view_of(runs, [newcomer], now=5.0, num_blocks=9)
        chunks = Chunks(view, 1000, lambda: list(runs))
        chunks.fill([newcomer], displace=True)
        assert (list(chunks.preempt), chunks.prefill) == (victims, {3: prompt})


def test_a_chunk_of_a_prompt_that_has_begun_takes_the_rest_of_its_last_block_first() -> None:
    begin(view := view_of([], now=5.0, num_blocks=2), begun := request(0, 100), cached=8)
    chunks = Chunks(view, 1000, list)
    chunks.fill([begun], displace=False)
    assert chunks.prefill == {0: 2 * 16 - 8}


def test_who_has_begun_and_has_no_room_for_a_token_is_not_in_the_batch() -> None:
    begin(view := view_of([], now=5.0, num_blocks=1), begun := request(0, 100), cached=16)
    chunks = Chunks(view, 1000, list)
    chunks.fill([begun], displace=False)
    assert chunks.prefill == {}


def test_blocks_that_were_taken_are_not_set_aside_any_more() -> None:
    chunks = Chunks(view_of([], [first := request(0, 40), second := request(1, 40)], now=0.0, num_blocks=6), 1000, list)
    chunks.fill([first, second], displace=False)
    assert chunks.prefill == {0: 40, 1: 40}


@pytest.mark.parametrize(("num_blocks", "prefill"), [(11, {}), (12, {1: 40})])
def test_a_newcomer_leaves_the_watermark_and_what_others_have_begun(num_blocks: int, prefill: dict[int, int]) -> None:
    # request 0 holds a block of the seven that it will take; the newcomer needs three, and two are the watermark
    begin(view := view_of([], [newcomer := request(1, 40)], now=5.0, num_blocks=num_blocks), request(0, 100), cached=8)
    view.kv.watermark_blocks = 2
    chunks = Chunks(view, 1000, list)
    chunks.fill([newcomer], displace=False)
    assert chunks.prefill == prefill


def test_there_are_no_more_newcomers_than_seats() -> None:
    queue = [request(i, 16) for i in range(1, 4)]
    chunks = Chunks(view_of([decoding(0, 30, 2, first=1.0)], queue, now=5.0, max_num_seqs=3), 1000, list)
    chunks.fill(queue, displace=False)
    assert chunks.prefill == {1: 16, 2: 16}


def test_a_seat_takes_one_victim_and_who_gets_no_token_now_takes_none() -> None:
    runs = [decoding(i, 30, 2, first=1.0, arrival=float(i)) for i in range(3)]
    queue = [request(3, 40), request(4, 40)]
    chunks = Chunks(view_of(runs, queue, now=5.0, max_num_seqs=3), 40, lambda: list(runs))
    chunks.fill(queue, displace=True)
    assert (list(chunks.preempt), chunks.prefill) == ([2], {3: 40})


def test_whoever_gives_blocks_gives_a_seat_as_well() -> None:
    # two blocks each, of six, and two of four seats: 2 lacks a block, and 3 then finds one and a seat
    runs = [decoding(i, 30, 2, first=1.0, arrival=float(i)) for i in range(2)]
    queue = [request(2, 48), request(3, 16)]
    chunks = Chunks(view_of(runs, queue, now=5.0, num_blocks=6, max_num_seqs=4), 1000, lambda: list(runs))
    chunks.fill(queue, displace=True)
    assert (list(chunks.preempt), chunks.prefill) == ([1], {2: 48, 3: 16})


def test_a_victim_gives_what_it_holds_and_what_it_would_have_taken() -> None:
    # request 0 holds one of six blocks and wants four more: 1 needs four, and 2 the two that are left
    view = view_of([], [first := request(1, 64), second := request(2, 32)], now=5.0, num_blocks=6)
    begin(view, late := request(0, 80), cached=16)
    chunks = Chunks(view, 1000, lambda: [late])
    chunks.fill([first, late, second], displace=True)
    assert (list(chunks.preempt), chunks.prefill) == ([0], {1: 64, 2: 32})
