"""What lessons e, f and g say in words holds in their runs."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.lessons import fooling, promises, surge
from experiments.lessons.fooling import (
    BOUND,
    GOODPUT,
    SMOOTH_GOODPUT,
    dropping,
    held,
    held_values,
    most_stalled,
    served,
)
from experiments.lessons.promises import CONTENT, POLICIES, capacity, fleet, strict
from simulator.metrics import per_request

FCFS, CHUNKED = POLICIES
SURGE = 7, 2


def test_goodput_is_highest_where_tokens_are_held_for_as_long_as_the_bound_and_nobody_gains() -> None:
    goodput = {gap: held_values(5, gap)[GOODPUT] for gap in fooling.GAPS}
    assert max(goodput, key=lambda gap: goodput[gap]) == 1e3 * BOUND
    assert goodput[100] > 10 * goodput[0]
    assert goodput[110] == 0
    smooth = [held_values(5, gap)[SMOOTH_GOODPUT] for gap in fooling.GAPS]
    assert max(smooth) == pytest.approx(smooth[0])
    assert smooth[fooling.GAPS.index(200)] == pytest.approx(smooth[0], rel=1e-3)
    assert smooth[fooling.GAPS.index(300)] < 0.9 * smooth[0]


def test_dropping_raises_goodput_and_the_share_of_the_finished_and_lowers_smooth_goodput() -> None:
    before, after = fooling.values(5, "fcfs"), fooling.values(5, dropping(BOUND))
    assert after[GOODPUT] > before[GOODPUT]
    assert after["slo_attainment_completed"] > 0.95 > before["slo_attainment_completed"]
    assert after[SMOOTH_GOODPUT] < before[SMOOTH_GOODPUT]


def test_none_of_the_three_tricks_improves_smooth_goodput_and_each_other_metric_is_improved_by_one() -> None:
    from experiments.lessons.e_fooled_metrics import fooled

    plain, *tricks = fooled().values()
    assert all(trick[SMOOTH_GOODPUT] <= plain[SMOOTH_GOODPUT] * (1 + 1e-9) for trick in tricks)
    assert max(trick["qoe_mean"] for trick in tricks) > 1.1 * plain["qoe_mean"]
    assert min(trick["tbt_p99"] for trick in tricks) < 0.5 * plain["tbt_p99"]


def test_the_most_stalled_answer_has_the_longest_gap_of_answers_of_its_size() -> None:
    log = served(5)
    frame = per_request(log)
    like_it = frame[frame.num_tokens.between(50, 150)]
    assert frame.tbt_max[most_stalled(log)] == like_it.tbt_max.max()
    assert held(5, 0) == log


def test_qoe_is_one_minus_the_ratio_of_the_areas_that_are_drawn() -> None:
    log = surge.log(*SURGE, "fcfs")
    speed = surge.workload(*SURGE).speed
    qoe = surge.each(*SURGE, "fcfs").qoe
    late = qoe[qoe < 0.9].index[:20]
    assert len(late) == 20
    for request in late:
        _, read, expected = surge.qoe_curves(log, request, float(speed[request]))
        assert qoe[request] == pytest.approx(1 - (read - expected).sum() / (read[-1] - expected).sum())


def test_andes_preempts_readers_who_have_text_for_its_horizon_and_fcfs_those_who_came_last() -> None:
    andes, fcfs = (surge.preempted(*SURGE, policy) for policy in surge.POLICIES[::-1])
    assert np.median(andes.buffer) > 10 > np.median(fcfs.buffer)
    assert surge.noticed(*SURGE, "andes") < 0.5
    first, second, *_ = surge.preempted_readers(*SURGE)
    assert andes.request.count(first) >= andes.request.count(second) >= 1
    assert len(surge.preempted_readers(*SURGE)) >= 12


def test_in_a_larger_surge_andes_has_the_better_mean_and_the_longer_waits() -> None:
    fcfs, andes = (surge.values(8, 2.5, policy) for policy in surge.POLICIES)
    assert andes["qoe_mean"] > fcfs["qoe_mean"] + 0.1
    assert andes["ttft_mean"] < fcfs["ttft_mean"] / 2
    assert andes["ttft_p99"] > fcfs["ttft_p99"]
    assert 0.9 < andes["throughput_tokens_per_s"] / fcfs["throughput_tokens_per_s"] < 1


def test_a_capacity_keeps_its_promise_and_the_next_rate_tried_does_not() -> None:
    found = promises.search("A100", CHUNKED, strict())
    (answer,) = found.answers
    kept = {run.rate: run.values for run in found.evaluations}
    assert kept[answer.bracket.low]["slo_attainment"] >= 0.9
    above = kept[answer.bracket.high]
    assert above["slo_attainment"] < 0.9 or above["unstable"]


def test_what_lesson_g_says_of_promises_and_gpus() -> None:
    assert capacity("A100", FCFS, CONTENT) > 5
    assert capacity("A100", FCFS, strict()) < 0.5
    assert capacity("A100", CHUNKED, strict()) > 10 * capacity("A100", FCFS, strict())
    assert capacity("A100", CHUNKED, strict(0.025)) < 0.5
    ratios = [capacity("H100", CHUNKED, strict(b)) / capacity("A100", CHUNKED, strict(b)) for b in (0.1, 0.05)]
    assert 3.0 / 1.8 < ratios[0] < ratios[1]


def test_a_fleet_is_as_many_gpus_as_the_demand_takes() -> None:
    each = capacity("A100", CHUNKED, strict())
    small, large = (fleet("A100", CHUNKED, strict(), demand, 2.0) for demand in (each / 2, 100.0))
    assert small is not None
    assert small.gpus == 1
    assert large is not None
    assert large.gpus - 1 < 100 / each <= large.gpus
    assert large.per_hour == 2.0 * large.gpus
    assert large.per_million_tokens == pytest.approx(1e6 * large.per_hour / (3600 * 100 * promises.mean_output()))


def test_fleets_that_cannot_keep_the_promise_say_so() -> None:
    ax, cost = Figure().subplots(1, 2)
    promises.draw_fleets(ax, cost, {"A100": promises.Fleet(2, 4.0, 0.5), "L40S": None})
    assert [text.get_text() for text in ax.texts] == ["2", "not with any number"]
    assert [text.get_text() for text in cost.texts] == ["0.50", "–"]
