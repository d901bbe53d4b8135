"""Figures show the rows that they are given, and the same policy always looks the same."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.aggregate import Row, rows
from experiments.cells import Cell, CellResult
from experiments.distributions import NUM_BINS, _count
from experiments.figures import draw_figures, goodput_figure, latency_figure
from experiments.plots import plot_latency, plot_score_by_policy, plot_score_by_rate
from experiments.study import StudySpec
from experiments.style import policy_styles
from experiments.verdict import Score
from policies.presets import PRESETS
from policies.registry import policy_names

SCORE = Score("smooth_goodput_tokens_per_s_window", "smooth goodput", "tokens/s")
STUDY = StudySpec.model_validate(
    {
        "workload": {"trace": "t"},
        "profile": "p",
        "policies": ["fcfs", "chunked_prefill"],
        "slo": {"ttft": 1, "tbt": 0.1},
    }
)


def table(rates: list[float], unstable_from: float = np.inf, empty: bool = False) -> list[Row]:
    results = []
    for rate in rates:
        for i, policy in enumerate(STUDY.policies):
            for seed in range(3):
                values = {
                    "goodput_requests_per_s_window": 1.0 + i,
                    SCORE.key: 10.0 * (rate if np.isfinite(rate) else 1.0) + i + seed,
                    "unstable": float(rate >= unstable_from),
                    "window": 10.0,
                }
                some = np.array([] if empty else [0.01, 0.05, 0.2, 2.0])
                counts = {"ttft": _count(some), "tbt": _count(some)}
                results.append(CellResult(Cell(0, policy, rate, seed), rate, values, counts))
    return rows(results)


def test_lines_go_through_the_means_and_unstable_points_are_hollow() -> None:
    ax = Figure().subplots()
    assert plot_score_by_rate(ax, table([1, 2, 4], unstable_from=4), SCORE) is ax
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["fcfs"].get_ydata() == pytest.approx([11, 21, 41])
    assert lines["chunked_prefill"].get_ydata() == pytest.approx([12, 22, 42])
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[4], [4]]
    assert "requests/s" in ax.get_xlabel()
    assert "tokens/s" in ax.get_ylabel()


def test_bars_have_the_length_of_the_means() -> None:
    ax = plot_score_by_policy(Figure().subplots(), table([2]), SCORE)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([21, 22])  # type: ignore[attr-defined]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fcfs", "chunked_prefill"]


def test_latency_lines_fall_from_one_and_end_where_no_value_is_longer() -> None:
    ax = plot_latency(Figure().subplots(), table([2]), "tbt", bound=0.1)
    line = next(line for line in ax.get_lines() if line.get_label() == "fcfs")
    share = np.asarray(line.get_ydata())
    assert (np.diff(share) <= 0).all()
    edge = np.asarray(line.get_xdata())
    assert share[0] == 1.0
    assert edge[0] < 0.01 <= edge[1]
    assert share[np.searchsorted(edge, 0.1)] == pytest.approx(0.5)
    assert edge[-2] < 2.0 <= edge[-1]
    assert share[-1] < 1e-4
    assert "SLO 100 ms" in [text.get_text().strip() for text in ax.texts]


def test_a_policy_always_looks_the_same_and_policies_differ() -> None:
    alone = policy_styles(["chunked_prefill:token_budget=512"])
    both = policy_styles(["fcfs", "chunked_prefill"])
    assert alone["chunked_prefill:token_budget=512"] == both["chunked_prefill"]
    assert both["fcfs"].colour != both["chunked_prefill"].colour
    assert both["fcfs"].marker != both["chunked_prefill"].marker
    variants = policy_styles(["chunked_prefill", "chunked_prefill:token_budget=1", "outsider"])
    assert len(set(variants.values())) == 3
    everyone = [*policy_names(), *PRESETS]
    assert len(set(policy_styles(everyone).values())) == len(everyone)
    assert (
        policy_styles(["vllm_v1", "vllm_v1@pace"])["vllm_v1@pace"].colour
        == policy_styles(["vllm_v1"])["vllm_v1"].colour
    )


@pytest.mark.parametrize("rates", [[1.0, 2.0], [3.0], [np.inf], [1.0, np.inf], [1.0, 2.0, np.inf]])
@pytest.mark.parametrize("unstable_from", [0.0, 2.0, np.inf])
@pytest.mark.parametrize("empty", [False, True])
def test_every_kind_of_study_has_figures(rates: list[float], unstable_from: float, empty: bool) -> None:
    rows_ = table(rates, unstable_from, empty)
    for figure in (goodput_figure(rows_), latency_figure(STUDY, rows_)):
        figure.draw_without_rendering()
        assert len(figure.axes) == 2


def test_latencies_are_shown_at_the_highest_stable_rate() -> None:
    title = latency_figure(STUDY, table([1, 2, 4], unstable_from=4)).get_suptitle()
    assert title == "At 2 requests/s, the highest rate at which no queue grows"


def test_files_are_the_same_every_time_and_the_style_stays_inside(tmp_path: Path) -> None:
    matplotlib.use("agg")
    before = dict(matplotlib.rcParams)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_figures(tmp_path / name, STUDY, table([1, 2, 4], unstable_from=4))
    assert dict(matplotlib.rcParams) == before
    for name in ("goodput.png", "latencies.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert NUM_BINS == 1000
