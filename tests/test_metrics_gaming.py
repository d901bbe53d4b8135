"""How each metric can be gamed: the counterexamples behind the table in simulator/metrics/README.md.

What is monotone has a property test beside its metric; here are the runs that score better and serve worse.
"""

import numpy as np
import pytest

from simulator.metrics import SLO, QoE, User, summary_values
from tests.hand_logs import DROPPED, FAILED, log_of, row

SERVED = [*np.arange(1, 11) / 10, 2.0]
HELD = [0.75 + i / 8 for i in range(11)]
"""The same answer with every token held back: no gap is over 250 ms, no token is earlier, most are later."""


def scores(rows, user=None, slo=None):
    return summary_values(log_of(rows, window=64.0), slo, user)


def test_holding_tokens_back_raises_goodput_and_neither_smooth_goodput_nor_qoe():
    user, slo = User(speed=10.0, qoe=QoE(ttft=0.1)), SLO(tbt=0.25)
    served, held = (scores([row(0.0, tokens)], user, slo) for tokens in (SERVED, HELD))
    assert all(later >= t for t, later in zip(SERVED, HELD, strict=True))
    assert held["goodput_requests_per_s_window"] > served["goodput_requests_per_s_window"] == 0.0
    assert held["tbt_max_mean"] < served["tbt_max_mean"]
    assert held["qoe_mean"] < served["qoe_mean"]
    assert held["ttft_mean"] > served["ttft_mean"]


def test_holding_tokens_back_raises_the_smooth_goodput_of_no_reader():
    for speed in (1.0, 4.0, 10.0, 100.0):
        served, held = (scores([row(0.0, t)], User(speed=speed)) for t in (SERVED, HELD))
        name = "smooth_goodput_tokens_per_s_window"
        assert held[name] <= served[name]


def test_dropping_midway_whoever_has_missed_costs_goodput_nothing_and_smooth_goodput_much():
    slo = SLO(tbt=0.5)
    kept = row(0.0, [0.2, 0.9, *(1 + i / 10 for i in range(40))])
    dropped = row(0.0, [0.2, 0.9], DROPPED, 0.9)
    a, b = scores([kept], slo=slo), scores([dropped], slo=slo)
    assert a["goodput_tokens_per_s_window"] == b["goodput_tokens_per_s_window"] == 0.0
    assert a["smooth_goodput_tokens_per_s_window"] > 0.0 > b["smooth_goodput_tokens_per_s_window"]
    assert b["slo_attainment_completed"] != 0.0  # nobody finished, so nobody finished late


def test_a_drop_improves_every_mean_over_those_who_are_left():
    good, slow = row(0.0, [0.5, 0.7]), row(0.0, [30.0, 31.0])
    before, after = scores([good, slow]), scores([good, row(0.0, [], DROPPED, 1.0)])
    for name in ("ttft_mean", "e2e_mean", "normalised_latency_mean"):
        assert after[name] < before[name]
    assert after["qoe_mean_completed"] == 1.0 > before["qoe_mean_completed"]
    slo = SLO(ttft=1.0, tbt=0.5)
    before, after = (scores([good, r], slo=slo) for r in (slow, row(0.0, [], DROPPED, 1.0)))
    assert after["fluidity_mean"] == 1.0 > before["fluidity_mean"]
    assert after["qoe_mean"] <= before["qoe_mean"]


def test_an_early_drop_scores_as_perfect_by_the_area_until_it():
    user = User(qoe=QoE(dropped="area_until_drop"))
    assert scores([row(0.0, [], DROPPED, 0.5)], user)["qoe_mean"] == 1.0
    assert scores([row(0.0, [], DROPPED, 0.5)])["qoe_mean"] == 0.0


def test_a_stall_disappears_in_tpot():
    stalled, even = (scores([row(0.0, t)]) for t in ([0.0, 0.0, *[1.0] * 9], [i / 10 for i in range(11)]))
    assert stalled["tpot_mean"] == even["tpot_mean"] == 0.1
    assert stalled["smooth_goodput_tokens_per_s_window"] < even["smooth_goodput_tokens_per_s_window"]


def test_a_later_first_token_raises_smooth_goodput_with_origin_first_token():
    user = User(speed=1.0, origin="first_token")
    early, late = (scores([row(0.0, t)], user) for t in ([0.0, 10.0], [8.0, 10.0]))
    name = "smooth_goodput_tokens_per_s_window"
    assert late[name] > early[name]


def test_an_earlier_last_event_lowers_smooth_goodput_over_the_span_when_the_sum_is_negative():
    late = row(0.0, [100.0])
    user = User(abandonment="ignore")
    long, short = (scores([late, row(0.0, [], DROPPED, end)], user) for end in (200.0, 150.0))
    total = 1 - 2.5 * (100 - 0.2)
    assert long["smooth_goodput_tokens_per_s"] == total / 200 > short["smooth_goodput_tokens_per_s"] == total / 150
    assert long["smooth_goodput_tokens_per_s_window"] == short["smooth_goodput_tokens_per_s_window"]


def test_withholding_the_last_token_raises_qoe_and_lowers_smooth_goodput():
    late = [21.7 + i / 5 for i in range(200)]
    given, withheld = (scores([row(0.0, t)]) for t in (late, [*late[:-1], late[-1] + 600]))
    assert given["qoe_mean"] == pytest.approx(0.49, abs=0.005)
    assert withheld["qoe_mean"] == pytest.approx(0.96, abs=0.005)
    name = "smooth_goodput_tokens_per_s_window"
    assert withheld[name] < given[name]


def test_a_token_that_comes_earlier_can_lower_fluidity():
    slo = SLO(ttft=1.0, tbt=1.0)
    assert scores([row(0.0, [1.5, 3.0])], slo=slo)["fluidity_mean"] == 0.0
    assert scores([row(0.0, [2.0, 3.0])], slo=slo)["fluidity_mean"] == 1 / 3


def test_deadline_tokens_lose_nothing_by_giving_up_what_is_late_anyway():
    slo = SLO(ttft=1.0, tbt=0.1, e2e=2.0)
    late, dropped = (scores([r], slo=slo) for r in (row(0.0, [1.0, 9.0, 9.1]), row(0.0, [1.0], DROPPED, 1.0)))
    for name in ("latency_class_tokens_per_s_window", "deadline_class_tokens_per_s_window"):
        assert late[name] == dropped[name]


def test_effective_tokens_rise_when_tokens_are_held_back():
    at_once, paced = (scores([row(0.0, t)]) for t in ([0.0] * 40, [i / 5 for i in range(40)]))
    assert at_once["effective_tokens_per_s_window"] < 0.3 * paced["effective_tokens_per_s_window"]
    assert at_once["qoe_mean"] == paced["qoe_mean"] == 1.0


def test_a_failed_request_is_no_perfect_one_in_any_metric():
    values = scores([row(0.0, [], FAILED, 0.0)], slo=SLO(ttft=1, tbt=1, e2e=9))
    shares = ("slo_attainment", "qoe_mean", "qoe_good", "qoe_perfect", "fluid_share", "effective_tokens_per_s_window")
    assert [values[name] for name in shares] == [0.0] * len(shares)
    assert np.isnan(values["ttft_mean"])
    assert np.isnan(values["fluidity_mean"])
