"""What slos_serve decides, worked out by hand; times are dyadic."""

from __future__ import annotations

from typing import Literal

import pytest

from policies.slos_serve import SlosServe
from simulator import ALL, DECODE_ALL, PolicyEvent, StepPlan
from simulator.latency import Batch
from simulator.metrics.slo import SLO
from tests.policy_views import begin, decoding, request, second_a_token, view_of


def hundredth_a_token(batch: Batch) -> float:
    return (batch.prefill_tokens + batch.num_decodes) / 1024


TIERS = {"tight_tpot": 0.0625, "loose_tpot": 0.125}


def test_a_batch_lasts_until_the_next_token_deadline() -> None:
    # token 3 of 0 is due at 10 + 2/8 = 10.25; token 11 of 1 at 9.125 + 10/8 = 10.375. Now is 10.125: 1/8 s, 128 tokens
    runs = [decoding(0, 8, 2, first=10.0, arrival=9.9), decoding(1, 8, 10, first=9.125, arrival=9.1)]
    asked = request(2, 500, arrival=10.0, slo=SLO(ttft=5.0, tpot=0.125))
    plan = SlosServe(**TIERS).plan(view_of(runs, [asked], now=10.125, step_time=hundredth_a_token))
    # both cannot decode along with 500 tokens. 0 is due; 1 can just wait for another batch of 1/8 s
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


def test_who_is_due_now_can_get_nothing_in_time_and_takes_no_candidates_place() -> None:
    queue = [request(0, 16, arrival=9.0, slo=SLO(ttft=1.0)), request(1, 16, arrival=9.0, slo=SLO(ttft=6.0))]
    view = view_of([], queue, now=10.0, step_time=hundredth_a_token)
    assert list(SlosServe(max_candidates=1, **TIERS).plan(view).prefill) == [1, 0]


@pytest.mark.parametrize("slo", [SLO(ttft=1.0), None])
def test_an_accepted_request_displaces_those_of_best_effort(slo: SLO | None) -> None:
    # the TTFT is 1 s, promised, or 128 times the 1/128 s that the prefill of 8 tokens takes
    policy = SlosServe(slowdown=128.0, **TIERS)
    late = decoding(0, 8, 40, first=9.0, arrival=1.0, slo=slo)
    kept = decoding(1, 8, 40, first=9.0, arrival=8.5, slo=slo)
    asked = request(2, 100, arrival=10.0, slo=slo)
    view = view_of([late, kept], [asked], now=10.0, step_time=hundredth_a_token, max_num_seqs=2)
    assert policy.plan(view).preempt == {0: "recompute"}
    hopeless = request(2, 100, arrival=10.0, slo=SLO(ttft=0.01))
    view = view_of([late, kept], [hopeless], now=10.0, step_time=hundredth_a_token, max_num_seqs=2)
    assert policy.plan(view) is DECODE_ALL


def test_late_prefills_that_have_begun_come_after_all_that_are_in_time_and_before_the_rejected() -> None:
    hopeless, accepted = (
        request(0, 2000, arrival=10.0, slo=SLO(ttft=1.0)),
        request(1, 50, arrival=10.0, slo=SLO(ttft=9.0)),
    )
    view = view_of([], [hopeless, accepted], now=10.0, step_time=hundredth_a_token)
    for id, arrival in (
        (2, 7.0),
        (3, 4.0),
        (4, 9.9),
    ):  # nothing was promised: late after 3 times the 1/16 s of a prefill
        begin(view, request(id, 64, arrival=arrival), cached=16)
    assert list(SlosServe(**TIERS).plan(view).prefill.items()) == [(4, 48), (1, 50), (3, 48), (2, 48), (0, 2000)]


def test_what_has_begun_is_not_given_up_for_more_who_could_be_in_time() -> None:
    # 1,024 tokens/s: the 1,000 of request 0 are due in 1 s, and without it the two others would make theirs
    queue = [request(i, 400, arrival=10.0, slo=SLO(ttft=0.9375)) for i in (1, 2)]
    view = view_of([], queue, now=10.0, step_time=hundredth_a_token)
    assert list(SlosServe(**TIERS).plan(view).prefill) == [1, 2]
    begin(view, request(0, 1016, arrival=10.0, slo=SLO(ttft=1.0, tpot=0.125)), cached=16)
    assert list(SlosServe(**TIERS).plan(view).prefill) == [0, 1, 2]


@pytest.mark.parametrize(("num_blocks", "first"), [(12, 0), (13, 1)])
def test_accepted_are_those_whose_blocks_suffice_to_the_end_beyond_the_watermark(num_blocks: int, first: int) -> None:
    # request 0 will hold 108 tokens in 7 blocks and request 1 will hold 49 in 4; 2 are the watermark
    slos = [SLO(ttft=9.0), SLO(ttft=5.0)]
    asked = request(1, 41, arrival=10.0, slo=slos[1], predicted_output_length=8.0)
    view = view_of([], [asked], now=10.0, num_blocks=num_blocks, step_time=hundredth_a_token)
    view.kv.watermark_blocks = 2
    begin(view, request(0, 100, arrival=10.0, slo=slos[0], predicted_output_length=8.0), cached=16)
    assert next(iter(SlosServe(**TIERS).plan(view).prefill)) == first


@pytest.mark.parametrize(
    ("tokens", "plan"),
    [(1008, StepPlan(prefill={3: 126}, decode=(0, 1))), (1009, StepPlan(prefill={2: 126}, decode=ALL))],
)
def test_accepted_are_those_for_whom_the_decodes_leave_time(tokens: int, plan: StepPlan) -> None:
    # two of the loose tier decode in each batch of 1/8 s, of 128 tokens: 8 · 126 are left by 11
    runs = [decoding(i, 8, 1, first=10.0, arrival=9.9) for i in range(2)]
    hopeless = request(2, 2000, arrival=10.0, slo=SLO(ttft=1.0))
    asked = request(3, tokens, arrival=10.0, slo=SLO(ttft=1.0, tpot=0.125))
    view = view_of(runs, [hopeless, asked], now=10.0, step_time=hundredth_a_token)
    assert SlosServe(**TIERS).plan(view) == plan


@pytest.mark.parametrize(("tpot", "tier"), [(0.03125, 0), (0.0625, 0), (0.09375, 0), (0.125, 1), (9.0, 1), (None, 1)])
def test_a_tier_is_the_looser_one_that_the_promise_allows(tpot: float | None, tier: int) -> None:
    asked = request(0, 8, slo=SLO(ttft=1.0, tpot=tpot))
    assert SlosServe(**TIERS).tier(asked) == tier


def test_of_those_who_have_begun_and_cannot_go_on_one_gives_way_the_late_before_the_latest() -> None:
    view = view_of([], now=10.0, num_blocks=2)
    for id, arrival in ((0, 9.5), (1, 1.0)):
        begin(view, request(id, 40, arrival=arrival, slo=SLO(ttft=1.0)), cached=16)
    assert SlosServe(**TIERS).plan(view) == StepPlan(preempt={1: "recompute"})


def test_decodes_that_leave_no_time_sustain_no_prefill_and_are_not_too_many() -> None:
    # each takes 1/1024 s: 64 of the tight tier fill their 1/16 s, and 65 do not fit
    policy, view = SlosServe(**TIERS), view_of(now=0.0, step_time=hundredth_a_token)
    assert [policy._spare_rate(view, (num, 0)) for num in (32, 64, 65)] == [512.0, 0.0, -1.0]
    assert policy._paced_batch(view, (2, 8)) == (0.0625, 2 + 4, 0)  # of the loose tier every second batch is one
    assert [policy._sustains(view, (32, 0), rate) for rate in (0.0, 512.0, 513.0)] == [True, True, False]


def test_where_nobody_decodes_batches_are_as_large_as_they_may_be() -> None:
    policy = SlosServe(**TIERS)
    view = view_of(now=0.0, step_time=lambda batch: 0.5 + hundredth_a_token(batch), max_num_batched_tokens=512)
    assert policy._spare_rate(view, (0, 0)) == 512.0
    assert [policy._sustains(view, (0, 0), rate) for rate in (512.0, 513.0)] == [True, False]


@pytest.mark.parametrize("slo", [SLO(ttft=1.0), None])
def test_a_shortage_takes_those_whose_first_token_was_late(slo: SLO | None) -> None:
    # both caches are full blocks, and there is no block left for the next token. The TTFT is 1 s, promised, or an
    # eighth of the 8 s that the prefill takes; request 1 had its first token at the very deadline
    late = decoding(0, 8, 9, first=9.0, arrival=1.0, slo=slo)
    kept = decoding(1, 8, 9, first=9.0, arrival=8.0, slo=slo)
    view = view_of([late, kept], now=10.0, num_blocks=2, step_time=second_a_token)
    assert SlosServe(slowdown=0.125, **TIERS).plan(view).preempt == {0: "recompute"}


def test_what_the_decoding_requests_let_a_batch_do() -> None:
    # loose is 1/8 s a token and tight 1/16; first tokens at 8 s; it is 1/32 s after 10 s
    loose = [decoding(i, 8, 17, first=8.0) for i in range(2)]
    tight = decoding(2, 30, 33, first=8.0, slo=SLO(tpot=0.0625))
    policy = SlosServe(**TIERS)
    decodes = policy._decodes(view_of([*loose, tight], now=10.03125))
    assert (decodes.num_loose, decodes.tightest) == (2, policy.tight_tpot)
    assert decodes.slack == [3 / 32, 3 / 32, 1 / 32]
    assert decodes.binding == 1 / 32
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


def test_a_token_that_is_due_now_leaves_no_time() -> None:
    runs, asked = [decoding(0, 8, 2, first=10.0, arrival=9.9)], request(1, 500, arrival=10.0)
    plan = SlosServe(**TIERS).plan(view_of(runs, [asked], now=10.25, step_time=hundredth_a_token))
    assert plan == StepPlan(replan_after=1)


@pytest.mark.parametrize(("budget", "plan"), [(0, StepPlan(replan_after=1)), (1, DECODE_ALL)])
def test_where_there_is_no_time_to_prefill_it_looks_again_after_one_iteration(
    budget: int, plan: StepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlosServe, "_batch", lambda *_: (ALL, budget))
    full = view_of([decoding(0, 8, 2, first=0.0)], [request(1, 400)], now=1.0, num_blocks=1)
    assert SlosServe(**TIERS).decide(full) == plan
