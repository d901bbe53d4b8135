"""Figures and curves of scored logs show what was scored."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.score_curves import idle_latencies, score_curves
from experiments.score_figures import timeline, worst_requests
from experiments.score_plots import Timeline, plot_curve, plot_idle_latency, plot_timeline
from experiments.score_values import request_table
from simulator.metrics import User, per_request
from tests.bench_support import AIPERF, VLLM, scored


def test_the_reader_falls_behind_by_the_idle_latency() -> None:
    line = Timeline(np.array([0.1, 0.2, 2.0, 2.1]), start=0.0, speed=2.0)
    assert line.due().tolist() == [0.5, 1.0, 1.5, 2.0]
    assert line.read().tolist() == [0.5, 1.0, 2.0, 2.5]
    for log in (scored(VLLM, speed=30.0), scored(AIPERF, speed=60.0)):
        user = User(speed=30.0 if log.name == "vllm" else 60.0)
        table = request_table(log, None, user)
        for request in worst_requests(table):
            line = timeline(log, request, float(user.speeds(1)[0]), user)
            late = line.read()[-1] - line.due()[-1]
            assert late == pytest.approx(table["idle_latency"].iloc[request], abs=1e-9)


def test_a_reader_who_waits_does_not_read_on() -> None:
    ax = plot_timeline(Figure().subplots(), Timeline(np.array([0.1, 2.0]), start=0.0, speed=2.0))
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["read"].get_xdata() == pytest.approx([0.0, 0.5, 2.0, 2.0])
    assert lines["read"].get_ydata() == pytest.approx([0, 1, 1, 2])
    assert lines["delivered"].get_xdata() == pytest.approx([0.0, 0.1, 2.0])


def test_worst_requests_are_finished_and_wait_longest() -> None:
    table = request_table(scored(VLLM, speed=30.0), None, User(speed=30.0))
    worst = worst_requests(table)
    waits = table["idle_latency"][table["status"] == "finished"]
    assert table["idle_latency"].iloc[worst].tolist() == sorted(waits, reverse=True)[:3]


def test_curves_pass_through_the_score_of_the_user() -> None:
    user = User(speed=10.0, alpha=2.0)
    log = scored(VLLM, speed=10.0, alpha=2.0)
    curves = score_curves([log], user)
    by_alpha = curves[curves["against"] == "alpha"]
    at = float(np.interp(2.0, by_alpha["x"], by_alpha["smooth_goodput_tokens_per_s"]))
    assert at == pytest.approx(log.values["smooth_goodput_tokens_per_s"])
    by_speed = curves[curves["against"] == "speed"].set_index("x")["smooth_goodput_tokens_per_s"]
    assert by_speed.loc[10.0] == pytest.approx(log.values["smooth_goodput_tokens_per_s"])
    assert (np.diff(by_speed) <= 1e-9).all()
    np.testing.assert_allclose(
        idle_latencies(log.bench.log, user), per_request(log.bench.log, None, user)["idle_latency"]
    )


def test_the_distribution_starts_at_the_share_that_waits() -> None:
    ax = plot_idle_latency(Figure().subplots(), {"a": np.array([0.0, 0.0, 1.0, 3.0]), "b": np.zeros(2)})
    line, none = ax.get_lines()
    assert line.get_ydata() == pytest.approx([50, 25, 0, 0])
    assert line.get_label() == "a: 50 % never wait"
    assert not np.any(none.get_ydata())
    assert matplotlib.colors.to_hex(line.get_color()) != matplotlib.colors.to_hex(none.get_color())


def test_a_curve_without_a_score_is_drawn_empty() -> None:
    columns = {"name": "a", "against": "alpha", "x": [0.0, 1.0], "smooth_goodput_tokens_per_s": [np.nan, np.nan]}
    ax = plot_curve(Figure().subplots(), pd.DataFrame(columns), "alpha", 2.5)
    assert ax.get_ylim() == (0.0, 1.0)
