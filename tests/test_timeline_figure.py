"""The timeline figure shows the run that it is given, a panel for each question, and says what it leaves out."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from experiments.timeline.figure import MOST_ROWS, draw_timeline, save_timeline
from experiments.timeline.iterations import Kind
from experiments.timeline.looks import DECODE_COLOUR, KIND_LOOKS, PHASE_LOOKS, PREFILL_COLOUR
from experiments.timeline.phases import Phase, phases
from experiments.timeline.plots import plot_gpu, plot_kv, plot_queue, plot_requests
from experiments.timeline.reader import Reader, plot_reader, progress_of
from policies import make_policy
from simulator import EngineLimits, StepPlan, TokenLog, simulate
from simulator.delivery import deliver
from simulator.metrics import User, per_request
from tests.hand_logs import log_of, row
from tests.support import ConstantLatency, Machine, workload
from tests.test_engine_timelines import LOAD, Scripted, TokensTakeTime
from tests.timelines import second_by_second


def three(policy: str = "fcfs") -> TokenLog:
    return simulate(LOAD, make_policy(policy), Machine(TokensTakeTime(), kv_capacity_tokens=16 * 20))


def boxes(ax: Axes, colour: str) -> list[tuple[float, float, float, float]]:
    """Left, right, bottom and top of every box of this colour."""
    found = []
    for collection in ax.collections:
        if np.size(collection.get_facecolor()) and tuple(collection.get_facecolor()[0]) == to_rgba(colour):  # type: ignore[index]
            extents = [path.get_extents() for path in collection.get_paths()]
            found += [(box.x0, box.x1, box.y0, box.y1) for box in extents]
    return sorted(found)


def test_gpu_blocks_are_the_iterations() -> None:
    ax = Figure().subplots()
    assert plot_gpu(ax, three(), 0.0, 8.0) is ax
    assert boxes(ax, PREFILL_COLOUR) == [(0.0, 2.0, 0.0, 1.0), (2.0, 3.5, 0.0, 1.0), (4.5, 6.5, 0.0, 1.0)]
    assert boxes(ax, DECODE_COLOUR) == [(3.5, 4.5, 0.0, 1.0), (6.5, 7.5, 0.0, 1.0)]
    assert ax.get_xlabel() == "time (s)"


def test_a_chunk_shows_both_of_its_halves() -> None:
    ax = plot_gpu(Figure().subplots(), three("chunked_prefill:token_budget=33"), 3.1, 4.5)
    upper, lower = boxes(ax, PREFILL_COLOUR), boxes(ax, DECODE_COLOUR)
    assert [box[:2] for box in upper] == [box[:2] for box in lower]
    assert {box[2:] for box in upper} == {(0.5, 1.0)}
    assert {box[2:] for box in lower} == {(0.0, 0.5)}


def test_a_row_shows_the_phases_of_its_request() -> None:
    log = three()
    ax = Figure().subplots()
    assert plot_requests(ax, log, [0, 1, 2], 0.0, 8.0, deadlines={0: 1.0, 2: 5.0}, marked=2) is ax
    for phase, look in PHASE_LOOKS.items():
        drawn = {(round((low + high) / 2), left, right) for left, right, low, high in boxes(ax, look.colour)}
        assert drawn == {(i, s.start, s.end) for i in range(3) for s in phases(log, i) if s.phase is phase}, phase
    marks = {line.get_label(): np.c_[line.get_xdata(), line.get_ydata()].tolist() for line in ax.get_lines()}
    assert marks["first token"] == [[2.0, 0.0], [3.5, 1.0], [6.5, 2.0]]
    assert marks["first token due"] == [[1.0, 0.0], [5.0, 2.0]]
    assert marks["dropped"] == []
    labels = ax.get_yticklabels()
    assert [label.get_text() for label in labels] == ["0", "1", "2"]
    assert [label.get_fontweight() for label in labels] == ["normal", "normal", "bold"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first request is at the top"


def test_a_drop_is_marked() -> None:
    policy = Scripted(start=4.0, end=5.0, scripted=StepPlan(drop={0: "late"}))
    log = simulate(workload([0.0, 3.5], 16, [50, 2]), policy, Machine(ConstantLatency(1.0)))
    ax = plot_requests(Figure().subplots(), log, [0, 1], 0.0, 6.0)
    marks = {line.get_label(): np.c_[line.get_xdata(), line.get_ydata()].tolist() for line in ax.get_lines()}
    assert marks["dropped"] == [[4.0, 0.0]]


def test_levels_are_steps_with_units() -> None:
    ax = plot_kv(Figure().subplots(), three(), 0.0, 8.0)
    assert ax.get_lines()[0].get_ydata() == pytest.approx([20, 30, 40, 45, 50, 0, 0])
    assert "%" in ax.get_ylabel()
    ax = plot_queue(Figure().subplots(), three(), 0.0, 8.0)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["waiting"].get_ydata() == pytest.approx([0, 1, 0, 1, 0, 0])
    assert lines["running"].get_ydata() == pytest.approx([1, 2, 2, 0, 0])


def test_the_reader_is_behind_by_the_idle_latency() -> None:
    log = log_of([row(1.0, [1.25, 1.5, 5.0])])
    progress = progress_of(log, Reader(0, speed=2.0))
    assert progress.due.tolist() == [1.5, 2.0, 2.5]
    assert progress.read.tolist() == [1.5, 2.0, 5.0]
    idle = per_request(log, user=User(speed=2.0)).idle_latency
    assert progress.read[-1] - progress.due[-1] == idle[0] == 2.5


def test_the_reader_sees_what_is_delivered() -> None:
    log = deliver(second_by_second(workload([0.0], 16, 3), "fcfs"), "hold_tokens:gap=2")
    ax = plot_reader(Figure().subplots(), log, Reader(0, speed=1.0))
    lines = {line.get_label(): np.c_[line.get_xdata(), line.get_ydata()].tolist() for line in ax.get_lines()}
    assert lines["generated"][:3] == [[1, 1], [2, 2], [3, 3]]
    assert lines["delivered"][:3] == [[1, 1], [3, 2], [5, 3]]
    assert lines["read at 1 tokens/s"][:3] == [[1, 1], [3, 2], [5, 3]]
    assert lines["due"] == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert ax.get_xlim() == (0.0, 5.0)
    plain = plot_reader(Figure().subplots(), three(), Reader(0, speed=1.0))
    assert "delivered" not in {line.get_label() for line in plain.get_lines()}


def test_panels_share_the_time_and_have_units() -> None:
    figure = draw_timeline(three(), 1.0, 7.0, reader=Reader(0, speed=1.0), deadlines={0: 3.0})
    figure.draw_without_rendering()
    assert len(figure.axes) == 5
    assert {ax.get_xlim() for ax in figure.axes} == {(1.0, 7.0)}
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "", "", "time (s)"]
    assert figure.axes[0].get_title(loc="left") == "fcfs, test/machine/tp1, test"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["waiting", "prefill", "decode", "paused", "first token", "first token due"]
    assert len(draw_timeline(three(), 0.0, 8.0).axes) == 4


def test_the_legend_names_what_occurs_and_nothing_else() -> None:
    figure = draw_timeline(three("chunked_prefill:token_budget=33"), 0.0, 12.0)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["waiting", "prefill", "decode", "first token", "both in one batch", "GPU idle"]


def crowd(**options: object) -> TokenLog:
    load = workload(np.arange(100) / 8, 16, 60)  # type: ignore[arg-type]
    machine = Machine(ConstantLatency(0.25), kv_capacity_tokens=16 * 120)
    return simulate(load, make_policy("fcfs"), machine, **options)  # type: ignore[arg-type]


def test_at_most_forty_rows_and_a_line_says_how_many_are_left_out() -> None:
    log = crowd(limits=EngineLimits(max_num_seqs=50))
    figure = draw_timeline(log, 5.0, 10.0, reader=Reader(33))
    rows = [int(label.get_text()) for label in figure.axes[1].get_yticklabels()]
    assert len(rows) == MOST_ROWS == len(set(rows))
    assert rows == sorted(rows)
    assert 33 in rows
    present = int((log.arrival < 10.0).sum())
    said = f"{MOST_ROWS} of the {present} requests in the system, {present - MOST_ROWS} are not shown"
    assert figure.axes[1].get_title(loc="right") == said
    few = draw_timeline(log, 5.0, 10.0, requests=[7, 3])
    assert [label.get_text() for label in few.axes[1].get_yticklabels()] == ["7", "3"]
    assert f"2 of the {present}" in few.axes[1].get_title(loc="right")
    assert draw_timeline(log, 0.0, 2.0).axes[1].get_title(loc="right") == ""


def test_those_who_are_preempted_are_among_them() -> None:
    log = crowd()
    preempted = {i for i in range(100) if any(stay.phase is Phase.PREEMPTED for stay in phases(log, i))}
    assert preempted
    figure = draw_timeline(log, 0.0, 20.0)
    rows = {int(label.get_text()) for label in figure.axes[1].get_yticklabels()}
    assert len(rows & preempted) >= min(len(preempted), MOST_ROWS // 2)
    assert "preempted" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"requests": [3]}, "request 3: the run has requests 0 to 2"),
        ({"requests": [-1]}, "request -1"),
        ({"requests": [0] * 41}, "41 requests to show, 40 fit"),
        ({"reader": Reader(3)}, "request 3"),
        ({"reader": Reader(0, speed=0.0)}, "reading speed 0 tokens/s"),
        ({"reader": Reader(2)}, "request 2: from 0 s to 3 s nobody reads, it arrives at 4 s"),
    ],
)
def test_what_cannot_be_shown_is_refused(options: dict, problem: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=problem):
        draw_timeline(three(), 0.0, 3.0, **options)


def test_looks_differ_in_grey_too() -> None:
    def lightness(colour: str) -> float:
        red, green, blue, _ = to_rgba(colour)
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    full = [look for look in PHASE_LOOKS.values() if look.height > 0.6]
    assert abs(lightness(full[0].colour) - lightness(full[1].colour)) > 0.3
    assert len({(look.height, look.hatch) for look in PHASE_LOOKS.values() if look.height <= 0.6}) == 4
    assert len(set(KIND_LOOKS.values())) == len(Kind)


def test_the_same_figure_every_time_and_the_style_stays_inside(tmp_path: Path) -> None:
    matplotlib.use("agg")
    before = dict(matplotlib.rcParams)
    for name in ("a.png", "b.png"):
        save_timeline(draw_timeline(three(), 0.0, 8.0, reader=Reader(1)), tmp_path / name)
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
