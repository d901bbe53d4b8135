"""The admission program against brute force, and what slos_serve decides, worked out by hand."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.admission_program import Candidate, Counts, admit
from policies.prefill_chunks import Chunks
from policies.slos_serve import SlosServe
from simulator import ALL, DECODE_ALL, PolicyEvent, StepPlan
from simulator.latency import Batch
from simulator.metrics.slo import SLO
from tests.policy_views import decoding, request, view_of


def ten_less_the_decodes(counts: Counts) -> float:
    return 10.0 - 4.0 * counts[0] - 1.0 * counts[1]


def in_time(chosen: tuple[Candidate, ...], decoding: Counts, blocks: int) -> bool:
    """Whether all of `chosen` can be served in time, by going through their deadlines."""
    spare, now, counts = 0.0, 0.0, list(decoding)
    if sum(c.blocks for c in chosen) > blocks:
        return False
    for c in sorted(chosen, key=lambda c: (c.deadline, c.id)):
        spare += max(0.0, c.deadline - now) * max(0.0, ten_less_the_decodes(tuple(counts)))
        now = max(now, c.deadline)
        spare -= c.tokens
        counts[c.tier] += 1
        if spare < 0 or ten_less_the_decodes(tuple(counts)) < 0:
            return False
    return True


candidates = st.builds(
    Candidate,
    id=st.just(0),
    deadline=st.integers(-1, 12).map(float),
    tokens=st.integers(1, 40),
    blocks=st.integers(1, 9),
    tier=st.integers(0, 1),
    committed=st.just(False),
    profit=st.sampled_from([1.0, 1.0, 2.0, 5.0]),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(candidates, max_size=7), st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(0, 30))
def test_the_program_finds_the_most_profitable_set(drawn: list[Candidate], counts: Counts, blocks: int) -> None:
    asked = [c._replace(id=i) for i, c in enumerate(drawn)]
    subsets = chain.from_iterable(combinations(asked, n) for n in range(len(asked) + 1))
    best = max(sum(c.profit for c in chosen) for chosen in subsets if in_time(chosen, counts, blocks))
    accepted = tuple(asked[i] for i in admit(asked, counts, blocks, ten_less_the_decodes))
    assert in_time(accepted, counts, blocks)
    assert sum(c.profit for c in accepted) == best


@settings(max_examples=500, deadline=None)
@given(st.lists(candidates, max_size=6), st.sets(st.integers(0, 5)), st.integers(0, 30))
def test_who_has_begun_is_not_rejected(drawn: list[Candidate], begun: set[int], blocks: int) -> None:
    asked = [c._replace(id=i, committed=i in begun) for i, c in enumerate(drawn)]
    accepted = admit(asked, (0, 0), blocks, ten_less_the_decodes)
    assert {c.id for c in asked if c.committed} <= set(accepted)


def test_two_that_fit_are_better_than_the_first() -> None:
    # 10 tokens/s, 9 beside a decode: the first takes all 40 there are at 4 s, and leaves 18 by 6 s
    large, small, last = (Candidate(i, d, t, 1, 1) for i, d, t in [(0, 4.0, 40), (1, 5.0, 30), (2, 6.0, 25)])
    assert admit([large, small, last], (0, 0), 9, ten_less_the_decodes) == (1, 2)
    assert admit([large, small, last._replace(committed=True)], (0, 0), 9, ten_less_the_decodes) == (1, 2)
    assert admit([large._replace(profit=3.0), small, last], (0, 0), 9, ten_less_the_decodes) == (0,)
    # one block: 29 tokens to spare after 1, 35 after 2
    assert admit([large, small, last], (0, 0), 1, ten_less_the_decodes) == (2,)


def hundredth_a_token(batch: Batch) -> float:
    return (batch.prefill_tokens + batch.num_decodes) / 1024


TIERS = {"tight_tpot": 0.0625, "loose_tpot": 0.125}


def test_a_batch_lasts_until_the_next_token_deadline() -> None:
    # token 3 of 0 is due at 10 + 2/8 = 10.25; token 11 of 1 at 9.5 + 10/8 = 10.75. Now is 10.125: 1/8 s, 128 tokens
    runs = [decoding(0, 8, 2, first=10.0, arrival=9.9), decoding(1, 8, 10, first=9.5, arrival=9.4)]
    asked = request(2, 500, arrival=10.0, slo=SLO(ttft=5.0, tpot=0.125))
    plan = SlosServe(**TIERS).plan(view_of(runs, [asked], now=10.125, step_time=hundredth_a_token))
    # both cannot decode along with 500 tokens. 0 is due; 1 could wait for another batch of 1/8 s
    assert plan == StepPlan(prefill={2: 127}, decode=(0,))
    small = request(2, 50, arrival=10.0, slo=SLO(ttft=5.0, tpot=0.125))
    plan = SlosServe(**TIERS).plan(view_of(runs, [small], now=10.125, step_time=hundredth_a_token))
    assert plan == StepPlan(prefill={2: 50}, decode=ALL)


def test_who_is_late_keeps_its_pace_only() -> None:
    # due at 10.125, now 10.5: a batch of 1/8 s
    runs = [decoding(0, 8, 1, first=10.0, arrival=9.9)]
    asked = request(1, 500, arrival=10.0, slo=SLO(ttft=5.0, tpot=0.125))
    plan = SlosServe(**TIERS).plan(view_of(runs, [asked], now=10.5, step_time=hundredth_a_token))
    assert plan == StepPlan(prefill={1: 127}, decode=(0,))


def test_without_anything_to_prefill_all_decode() -> None:
    assert SlosServe().plan(view_of([decoding(0, 8, 1, first=10.0)], now=10.5)) is DECODE_ALL


def test_the_accepted_go_before_the_rejected_who_go_before_nobody() -> None:
    # 1,024 tokens/s: 0 wants 2,000 tokens within 1 s and is rejected; 1 is accepted
    hopeless = request(0, 2000, arrival=10.0, slo=SLO(ttft=1.0))
    fine = request(1, 500, arrival=10.0, slo=SLO(ttft=2.0))
    view = view_of([], [hopeless, fine], now=10.0, step_time=hundredth_a_token)
    plan = SlosServe(**TIERS).plan(view)
    assert list(plan.prefill.items()) == [(1, 500), (0, 2000)]


def test_an_accepted_request_displaces_those_of_best_effort() -> None:
    late = decoding(0, 8, 40, first=9.0, arrival=1.0, slo=SLO(ttft=1.0))
    kept = decoding(1, 8, 40, first=9.0, arrival=8.5, slo=SLO(ttft=1.0))
    asked = request(2, 100, arrival=10.0, slo=SLO(ttft=5.0))
    view = view_of([late, kept], [asked], now=10.0, step_time=hundredth_a_token, max_num_seqs=2)
    assert SlosServe(**TIERS).plan(view).preempt == {0: "recompute"}
    hopeless = request(2, 100, arrival=10.0, slo=SLO(ttft=0.01))
    view = view_of([late, kept], [hopeless], now=10.0, step_time=hundredth_a_token, max_num_seqs=2)
    assert SlosServe(**TIERS).plan(view) is DECODE_ALL


def test_decodes_that_leave_no_time_sustain_no_prefill_and_are_not_too_many() -> None:
    # each takes 1/1024 s: 64 of the tight tier fill their 1/16 s, and 65 do not fit
    policy, view = SlosServe(**TIERS), view_of(now=0.0, step_time=hundredth_a_token)
    assert [policy._spare_rate(view, (num, 0)) for num in (32, 64, 65)] == [512.0, 0.0, -1.0]
    assert policy._paced_batch(view, (2, 8)) == (0.0625, 2 + 4, 0)  # of the loose tier every second batch is one
    assert [policy._sustains(view, (32, 0), rate) for rate in (0.0, 512.0, 513.0)] == [True, True, False]


def test_blocks_that_are_missing_are_taken_from_as_few_as_hold_them() -> None:
    runs = [decoding(i, 30, 2, first=1.0, arrival=float(i)) for i in range(3)]  # two blocks each, of nine
    newcomer = request(3, 80)
    for prompt, victims in ((40, []), (60, [2]), (80, [2]), (96, [2, 1])):
        newcomer.prompt_length = prompt
        view = view_of(runs, [newcomer], now=5.0, num_blocks=9)
        chunks = Chunks(view, 1000, lambda: list(runs))
        chunks.fill([newcomer], displace=True)
        assert (list(chunks.preempt), chunks.prefill) == (victims, {3: prompt})


def test_a_shortage_takes_those_whose_first_token_was_late() -> None:
    # both caches are full blocks, and there is no block left for the next token
    late = decoding(0, 8, 9, first=9.0, arrival=1.0, slo=SLO(ttft=1.0))
    kept = decoding(1, 8, 9, first=9.0, arrival=8.5, slo=SLO(ttft=1.0))
    view = view_of([late, kept], now=10.0, num_blocks=2)
    assert SlosServe(**TIERS).plan(view).preempt == {0: "recompute"}


def test_a_chunk_of_a_prompt_that_has_begun_takes_the_rest_of_its_last_block_first() -> None:
    begun = request(0, 100)
    begun._cached = 8
    view = view_of([], now=5.0, num_blocks=2)
    view.running[0] = view.prefilling[0] = begun  # type: ignore[index]
    view.kv.free -= 1
    chunks = Chunks(view, 1000, list)
    chunks.fill([begun], displace=False)
    assert chunks.prefill == {0: 2 * 16 - 8}


def test_blocks_that_were_taken_are_not_set_aside_any_more() -> None:
    chunks = Chunks(view_of([], [first := request(0, 40), second := request(1, 40)], now=0.0, num_blocks=6), 1000, list)
    chunks.fill([first, second], displace=False)
    assert chunks.prefill == {0: 40, 1: 40}


def test_what_the_decoding_requests_let_a_batch_do() -> None:
    # loose is 1/8 s a token and tight 1/16; first tokens at 8 s; it is 10 s
    loose = [decoding(i, 8, 17, first=8.0) for i in range(2)]
    tight = decoding(2, 30, 33, first=8.0, slo=SLO(tpot=0.0625))
    policy = SlosServe(**TIERS)
    decodes = policy._decodes(view_of([*loose, tight], now=10.0))
    assert (decodes.num_loose, decodes.tightest) == (2, policy.tight_tpot)
    assert decodes.slack == [8 + 17 * policy.loose_tpot - 10] * 2 + [8 + 33 * policy.tight_tpot - 10]
    assert decodes.binding == min(decodes.slack)
    assert decodes.kv_tokens == 2 * (8 + 17) + 30 + 33
    late = policy._decodes(view_of([decoding(3, 8, 2, first=1.0)], now=10.0))
    assert late.binding == policy.loose_tpot


def test_an_accepted_request_may_count_on_the_blocks_of_best_effort() -> None:
    # each holds three blocks in the end, of four: the one that runs was promised a first token by 2 s
    late = decoding(0, 40, 2, first=9.0, arrival=1.0, slo=SLO(ttft=1.0), predicted_output_length=8.0)
    asked = request(1, 40, arrival=10.0, slo=SLO(ttft=50.0), predicted_output_length=8.0)
    policy = SlosServe(**TIERS)
    view = view_of([late], [asked], now=10.0, num_blocks=4, step_time=hundredth_a_token)
    assert list(policy._accepted(view, [], policy._decodes(view))) == [1]
    late.arrival = 8.5
    assert list(policy._accepted(view, [], policy._decodes(view))) == []


def test_a_decode_to_come_reads_what_a_running_request_holds_on_average() -> None:
    policy, one = SlosServe(**TIERS), decoding(0, 30, 2, first=1.0)  # two blocks
    assert policy._paced_batch(view_of([one], now=2.0), (1, 0)) == (policy.tight_tpot, 1, 32)
    two = view_of([decoding(0, 30, 2, first=1.0), decoding(1, 62, 2, first=1.0)], now=2.0)  # two and four
    assert policy._paced_batch(two, (0, 3)) == (policy.loose_tpot, 3, 3 * 3 * 16)


@pytest.mark.parametrize(("kind", "mean"), [("finish", 2.0), ("drop", 10.0)])
def test_lengths_are_learnt_from_those_that_finished_alone(kind: Literal["finish", "drop"], mean: float) -> None:
    policy = SlosServe(output_length=10.0)
    policy.note(PolicyEvent(kind, 1.0, decoding(0, 8, 2, first=0.0)))
    assert policy._lengths.value == mean


@pytest.mark.parametrize(("budget", "plan"), [(0, StepPlan(replan_after=1)), (1, DECODE_ALL)])
def test_where_there_is_no_time_to_prefill_it_looks_again_after_one_iteration(
    budget: int, plan: StepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlosServe, "_batch", lambda *_: (ALL, budget))
    full = view_of([decoding(0, 8, 2, first=0.0)], [request(1, 400)], now=1.0, num_blocks=1)
    assert SlosServe(**TIERS).decide(full) == plan
