"""What tempo decides, by its rules, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.tempo import Tempo, _batch_size, _replace, _step_time, best_window
from simulator import DECODE_ALL, NONE, Batch, PolicyEvent, ReplicaView, RequestState, StepPlan
from simulator.metrics.slo import SLO
from tests.policy_views import decoding, request, view_of

BY_PROMPT = Tempo(output_weight=0.0, decay=0.0)  # an output is worth nothing, and lateness costs nothing


def one_second(batch: Batch) -> float:
    return 1.0


def valued(id: int, prompt: int, priority: float, generated: int = 0, arrival: float = 0.0) -> RequestState:
    """Of this priority to BY_PROMPT where an iteration takes 1 s: with prompt/priority seconds to come."""
    seconds = prompt / priority
    if generated:
        return decoding(id, prompt, generated, 0.0, arrival, predicted_output_length=seconds + generated)
    return request(id, prompt, arrival, predicted_output_length=seconds - 1.0)


def test_the_priority_is_the_reward_for_each_second_to_come() -> None:
    tempo = Tempo()
    asked = request(0, 20, arrival=3.0, predicted_output_length=10.0, slo=SLO(e2e=1000.0))
    of = view_of([], [asked], now=8.0)
    # 20 s of prefill, 10 tokens at 2 s: 40 s to come; 20 + 8·10 = 100
    assert tempo.priority(asked, of, 2.0) == 100 / 40
    asked.slo = SLO(e2e=15.0)  # 5 s have passed, so it ends at 45 s: a third of the reward is left
    assert tempo.priority(asked, of, 2.0) == pytest.approx(100 / 3 / 40)
    assert Tempo(decay=2.0).priority(asked, of, 2.0) == pytest.approx(100 / 9 / 40)
    asked.slo = SLO(ttft=10.5, tpot=0.5)  # 10.5 s and nine gaps: again 15 s
    assert tempo.priority(asked, of, 2.0) == pytest.approx(100 / 3 / 40)


def test_a_decoding_request_has_only_its_tokens_to_come() -> None:
    asked = decoding(0, 20, generated=4, first=1.0, predicted_output_length=10.0, slo=SLO(e2e=1000.0))
    assert Tempo().priority(asked, view_of([asked], now=5.0), 2.0) == 100 / 12
    asked.predicted_output_length = 2.0  # it has four, so there are five at least
    assert Tempo().priority(asked, view_of([asked], now=5.0), 2.0) == (20 + 8 * 5) / 2


def test_lengths_are_learnt_from_those_that_finished() -> None:
    tempo, asked = Tempo(output_length=100.0), request(0, 20, slo=SLO(e2e=1e6))
    of = view_of([], [asked], now=0.0)
    assert tempo.priority(asked, of, 1.0) == (20 + 800) / 120
    for tokens in (10, 30):
        tempo.on_event(PolicyEvent("finish", 1.0, decoding(9, 5, tokens, 0.5)))
    for kind in ("arrival", "drop"):
        tempo.on_event(PolicyEvent(kind, 2.0, decoding(8, 5, 500, 0.5)))
    assert tempo.priority(asked, of, 1.0) == (20 + 160) / 40


def test_the_window_is_the_best_run_of_neighbours_in_prompt_length() -> None:
    kept = [request(i, prompt) for i, prompt in enumerate([50, 10, 40, 20, 30])]
    # by prompt: 1 (3), 3 (1), 4 (1), 2 (4), 0 (2): pairs 4, 2, 5, 6
    assert best_window(kept, [2.0, 3.0, 4.0, 1.0, 1.0], 2) == {2, 0}
    # triples 5, 6, 7
    assert best_window(kept, [2.0, 3.0, 4.0, 1.0, 1.0], 3) == {4, 2, 0}
    assert best_window(kept, [1.0] * 5, 2) == {1, 3}
    assert best_window(kept, [1.0] * 5, 9) == {0, 1, 2, 3, 4}


def test_a_frame_exchanges_the_low_priorities_for_the_high_ones() -> None:
    # a decode step of two takes 2 s; priorities 88/14, 168/32 and for the one that waits 82/(2 + 20)
    long = SLO(e2e=1e6)
    runs = [
        decoding(0, 8, 3, 0.0, slo=long, predicted_output_length=10.0),
        decoding(1, 8, 4, 0.0, slo=long, predicted_output_length=20.0),
    ]
    newcomer = request(2, 2, slo=long, predicted_output_length=10.0)
    tempo = Tempo()
    waits = view_of(runs, [newcomer], now=0.0, max_num_seqs=2)
    assert [tempo.priority(r, waits, 2.0) for r in (*runs, newcomer)] == [88 / 14, 168 / 32, 82 / 22]
    assert tempo.plan(waits) == StepPlan(replan_after=50)
    newcomer.predicted_output_length = 1.0  # now (2 + 8)/(2 + 2) = 2.5: still the least
    assert tempo.plan(waits) == StepPlan(replan_after=50)
    newcomer.prompt_length, newcomer.predicted_output_length = 40, 1.0  # (40 + 8)/(40 + 2)
    assert tempo.plan(waits) == StepPlan(replan_after=50)
    runs[1].predicted_output_length = 200.0
    runs[1].slo = SLO(e2e=1.0)  # hopelessly late: next to no reward is left
    exchange = StepPlan(prefill={2: 40}, decode=NONE, preempt={1: "recompute"})
    assert tempo.plan(waits) == exchange
    assert Tempo(keep=1.0).plan(waits) == exchange  # whose priority is the cutoff is kept
    assert tempo.plan(view_of(runs, now=0.0)) == DECODE_ALL


def test_a_frame_serves_neighbours_in_prompt_length_of_those_near_the_last_priority_for_which_there_is_a_seat() -> None:
    runs = [valued(0, 16, 4.0, generated=2), valued(1, 62, 3.875, generated=2)]
    queue = [valued(2, 30, 3.75), valued(3, 90, 1.0)]
    view = view_of(runs, queue, now=1.0, max_num_seqs=2, step_time=one_second)
    assert [BY_PROMPT.priority(r, view, 1.0) for r in (*runs, *queue)] == [4.0, 3.875, 3.75, 1.0]
    # 16 and 30 tokens are worth 7.75, 30 and 62 only 7.625, and 3.75 is more than 0.95 · 3.875
    assert BY_PROMPT.plan(view) == StepPlan(prefill={2: 30}, decode=NONE, preempt={1: "recompute"})
    strict = BY_PROMPT.model_copy(update={"keep": 1.0})
    assert strict.plan(view) == StepPlan(replan_after=50)


@pytest.mark.parametrize(("batched_tokens", "newcomers", "victims"), [(96, [3, 2], [0, 1]), (95, [3], [0])])
def test_a_frame_brings_in_the_highest_priorities_for_the_lowest(
    batched_tokens: int, newcomers: list[int], victims: list[int]
) -> None:
    runs, queue = [valued(0, 16, 1.0, 2), valued(1, 16, 2.0, 2)], [valued(2, 48, 7.75), valued(3, 48, 8.0)]
    limits = {"max_num_seqs": 2, "max_num_batched_tokens": batched_tokens}
    plan = BY_PROMPT.plan(view_of(runs, queue, now=1.0, step_time=one_second, **limits))
    assert (list(plan.prefill), list(plan.preempt)) == (newcomers, victims)


def test_a_frame_in_which_all_fit_leaves_nobody_out() -> None:
    # the cache holds 16 tokens and two prompts; with the next token of who runs, only the first two of 8, 4 and 1
    runs, queue = [valued(0, 16, 4.0, generated=1)], [valued(1, 16, 8.0), valued(2, 16, 1.0)]
    view = view_of(runs, queue, now=1.0, num_blocks=3, step_time=one_second)
    assert BY_PROMPT.plan(view) == StepPlan(prefill={1: 16, 2: 16}, decode=NONE)


def test_a_shortage_takes_the_lowest_priority() -> None:
    runs = [valued(0, 16, 1.0, generated=1), valued(1, 16, 4.0, generated=1, arrival=0.5)]
    view = view_of(runs, now=1.0, num_blocks=2, step_time=one_second)
    assert BY_PROMPT.plan(view) == StepPlan(preempt={0: "recompute"})


def test_between_frames_free_seats_go_to_the_highest_priorities() -> None:
    tempo = BY_PROMPT.model_copy()
    tempo.on_event(PolicyEvent("plan", 0.0, None, DECODE_ALL, 0))
    queue = [valued(1, 16, 2.0), valued(2, 16, 8.0), valued(3, 16, 4.0)]
    for newcomer in queue:
        tempo.on_event(PolicyEvent("arrival", 9.0, newcomer))
    limits = {"now": 9.0, "iteration": 20, "max_num_seqs": 3, "step_time": one_second}
    plan = tempo.plan(view_of([valued(0, 16, 1.0, generated=2)], queue, **limits))
    assert plan == StepPlan(prefill={2: 16, 3: 16}, decode=NONE)


def test_between_frames_nobody_is_displaced() -> None:
    late = decoding(0, 8, 4, 0.0, slo=SLO(e2e=1.0), predicted_output_length=200.0)
    newcomer = request(1, 2, slo=SLO(e2e=1e6), predicted_output_length=10.0)
    tempo = Tempo()
    tempo.on_event(PolicyEvent("plan", 0.0, None, DECODE_ALL, 0))
    tempo.on_event(PolicyEvent("arrival", 9.0, newcomer))
    early = view_of([late], [newcomer], now=9.0, iteration=20, max_num_seqs=1)
    assert tempo.plan(early) == StepPlan(replan_after=30)
    last = view_of([late], [newcomer], now=9.0, iteration=49, max_num_seqs=2, num_blocks=1)
    assert tempo.plan(last) == StepPlan(replan_after=1)
    due = view_of([late], [newcomer], now=9.0, iteration=50, max_num_seqs=1)
    assert tempo.plan(due) == StepPlan(prefill={1: 2}, decode=NONE, preempt={0: "recompute"})


def test_nobody_goes_for_a_newcomer_whom_a_free_seat_and_free_blocks_await() -> None:
    runs, newcomer = [decoding(0, 8, 4, 0.0), decoding(1, 8, 4, 0.0)], request(2, 40)
    roomy = view_of(runs, [newcomer], now=0.0, max_num_seqs=3)
    assert _replace(roomy, [newcomer], runs[:]) == StepPlan(prefill={2: 40}, decode=NONE)
    full = view_of(runs, [newcomer], now=0.0, max_num_seqs=3, num_blocks=4)  # two are free, and it needs three
    assert _replace(full, [newcomer], runs[:]) == StepPlan(prefill={2: 40}, decode=NONE, preempt={1: "recompute"})


def test_a_newcomer_takes_a_free_seat_and_the_block_that_the_last_victim_left_over() -> None:
    runs, queue = [decoding(i, 60, 4, 0.0) for i in range(2)], [request(2, 48), request(3, 16)]
    full = view_of(runs, queue, now=0.0, max_num_seqs=4, num_blocks=8)
    assert _replace(full, queue, runs[:]) == StepPlan(prefill={2: 48, 3: 16}, decode=NONE, preempt={1: "recompute"})


def test_a_decode_step_is_estimated_by_the_blocks_that_are_held() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 7.0

    runs = [decoding(0, 30, 4, 0.0), decoding(1, 8, 4, 0.0)]  # three blocks and one, and a token each
    assert _step_time(view_of(runs, now=0.0, step_time=remembered)) == 7.0
    assert _step_time(view_of(runs[:1], now=0.0, step_time=remembered)) == 7.0
    assert _step_time(view_of(now=0.0, step_time=remembered)) == 7.0  # the first of a batch to come
    assert asked == [Batch(0, 0, 0, 2, 4 * 16 + 2, 2), Batch(0, 0, 0, 1, 3 * 16 + 1, 1), Batch(0, 0, 0, 1, 1, 1)]


def test_newcomers_take_the_seats_and_the_budget_to_the_last() -> None:
    runs, first, second = [decoding(0, 8, 4, 0.0)], request(1, 40), request(2, 1)
    last = view_of(runs, [first, second], now=0.0, max_num_seqs=3, max_num_batched_tokens=41)
    assert _replace(last, [first, second], runs[:]) == StepPlan(prefill={1: 40, 2: 1}, decode=NONE)
    short = view_of(runs, [first, second], now=0.0, max_num_seqs=3, max_num_batched_tokens=40)
    assert _replace(short, [first, second], runs[:]) == StepPlan(prefill={1: 40}, decode=NONE)
    seat = view_of(runs, [first, second], now=0.0, max_num_seqs=2)
    assert _replace(seat, [first, second], []) == StepPlan(prefill={1: 40}, decode=NONE)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-3, 9)), min_size=1, max_size=9), st.integers(1, 9))
def test_the_best_window_is_the_best_of_all_windows(drawn: list[tuple[int, int]], size: int) -> None:
    kept = [request(i, prompt) for i, (prompt, _) in enumerate(drawn)]
    priority = [float(number) for _, number in drawn]
    order = sorted(range(len(kept)), key=lambda i: (kept[i].prompt_length, i))
    windows = [order[first : first + size] for first in range(max(1, len(order) - size + 1))]
    best = max(windows, key=lambda window: sum(priority[i] for i in window))
    assert best_window(kept, priority, size) == set(best)


@given(st.lists(st.integers(1, 60), min_size=3, max_size=8), st.integers(1, 12), st.integers(0, 3), st.integers(1, 8))
def test_a_batch_has_one_request_at_least_and_no_more_than_blocks_and_seats_take(
    prompts: list[int], num_blocks: int, watermark: int, seats: int
) -> None:
    queue = [request(i, prompt) for i, prompt in enumerate(prompts)]
    view = view_of(waiting=queue, now=0.0, num_blocks=num_blocks, max_num_seqs=seats)
    view.kv.watermark_blocks = watermark
    taken = [sum(-(-prompt // 16) for prompt in prompts[:n]) for n in range(len(prompts) + 1)]
    fitting = [n for n, blocks in enumerate(taken) if n <= seats and blocks + watermark <= num_blocks]
    assert _batch_size(view, queue) == max([1, *fitting])


def test_an_empty_batch_counts_as_one() -> None:
    assert _batch_size(view_of(now=0.0), []) == 1


def room_is_made_for(
    view: ReplicaView, newcomers: Sequence[RequestState], expendable: Sequence[RequestState]
) -> StepPlan:
    """Newcomers as long as there is a number of victims, no fewer than before, that makes room for all of them."""
    last_first, num_victims, prefill = expendable[::-1], 0, dict[int, int]()
    for newcomer in newcomers:
        prompts = [*prefill.values(), newcomer.prompt_length]
        enough = [n for n in range(num_victims, len(expendable) + 1) if all_fit(view, prompts, last_first[:n])]
        if not enough or (prefill and sum(prompts) > view.limits.max_num_batched_tokens):
            break
        num_victims, prefill[newcomer.id] = enough[0], newcomer.prompt_length
    return StepPlan(prefill, NONE, {victim.id: "recompute" for victim in last_first[:num_victims]})


def all_fit(view: ReplicaView, prompts: list[int], victims: Sequence[RequestState]) -> bool:
    gone = {victim.id for victim in victims}
    caches = [r.num_computed_tokens for r in view.running.values() if r.id not in gone] + prompts
    blocks = view.kv.watermark_blocks + sum(-(-tokens // 16) for tokens in caches)
    return len(caches) <= view.limits.max_num_seqs and blocks <= view.kv.num_blocks


prompts_of_some = st.lists(st.integers(1, 60), min_size=2, max_size=6)


@given(prompts_of_some, prompts_of_some, st.integers(0, 2), st.integers(0, 4), st.integers(0, 2), st.integers(16, 150))
def test_each_newcomer_costs_as_few_of_the_last_as_make_room_for_it(
    running: list[int], waiting: list[int], seats: int, blocks: int, watermark: int, batched_tokens: int
) -> None:
    runs = [decoding(i, prompt, 1, 0.0) for i, prompt in enumerate(running)]
    newcomers = [request(10 + i, prompt) for i, prompt in enumerate(waiting)]
    num_blocks = blocks + sum(-(-prompt // 16) for prompt in running)
    limits = {"max_num_seqs": len(runs) + seats, "max_num_batched_tokens": batched_tokens}
    view = view_of(runs, newcomers, now=0.0, num_blocks=num_blocks, **limits)
    view.kv.watermark_blocks = watermark
    expected = room_is_made_for(view, newcomers, runs[1:])
    plan = _replace(view, newcomers, runs[1:])
    assert plan == (expected if expected.prefill else None)
    assert plan is None or list(plan.preempt) == list(expected.preempt)


def test_a_frame_begins_with_the_first_plan_after_the_last_one() -> None:
    tempo, begins = Tempo(), []
    tempo.on_event(PolicyEvent("arrival", 0.0, request(0, 8)))
    begins.append(tempo._next_frame)
    for iteration in (3, 10, 52, 53, 54):
        tempo.on_event(PolicyEvent("plan", 1.0, plan=StepPlan(prefill={0: 1}), iteration=iteration))
        begins.append(tempo._next_frame)
    assert begins == [0, 53, 53, 53, 103, 103]


def test_blocks_that_just_suffice_for_the_decodes_displace_nobody() -> None:
    full = decoding(0, 8, 9, first=0.0)  # its next token takes the last block
    view = view_of([full], [request(1, 40)], now=1.0, num_blocks=2, max_num_seqs=1)
    assert (view.kv.needed_next, view.kv.free) == (1, 1)
    assert Tempo(keep=0.0).plan(view).replan_after == 50
