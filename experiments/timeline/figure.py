"""The timeline of a stretch of a run as one figure: GPU, requests, KV cache and queue, and a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.style import FIGURE_STYLE, NOTE_COLOUR
from experiments.timeline.iterations import Kind, check_window, idle_gaps, iterations
from experiments.timeline.looks import draw_legend
from experiments.timeline.phases import Phase, check_requests, phases, requests_between
from experiments.timeline.plots import plot_gpu, plot_kv, plot_queue, plot_requests
from experiments.timeline.reader import Reader, plot_reader, progress_of
from simulator.token_log import EventKind, Status, TokenLog

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 40
"""Rows of requests that can still be told apart."""

_WIDTH = 11.0
_ROW = 0.17
_GPU, _LEVEL, _READER = 0.45, 0.75, 1.7


def draw_timeline(
    log: TokenLog,
    start: float,
    end: float,
    *,
    requests: Sequence[int] | None = None,
    reader: Reader | None = None,
    deadlines: Mapping[int, float] | None = None,
    title: str | None = None,
) -> Figure:
    """The run in [start, end), seconds, in panels that share the time axis.

    requests: the numbers of those to show; if not given, everyone in the system then, or 40 of them, spread over the
    order of arrival, preempted and dropped ones before others; a line says how many are left out. reader: whose
    progress is shown below. deadlines: when first tokens are due, seconds, by request. title: policy, profile and
    workload if not given.

    Raises ValueError, with one line, for a measured run, a window outside of the run, an unknown request, more than
    40 of them, or a reader who reads before or after that.
    """
    import matplotlib

    check_window(log, start, end)
    present = requests_between(log, start, end).tolist()
    if reader is not None:
        _check_reader(log, reader, start, end)
    shown = _chosen(present, _unlucky(log, start, end), reader) if requests is None else _known(log, requests)
    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        figure, axes = _panels(len(shown), reader is not None)
        plot_gpu(axes[0], log, start, end)
        marked = None if reader is None else reader.request
        plot_requests(axes[1], log, shown, start, end, deadlines=deadlines, marked=marked)
        plot_kv(axes[2], log, start, end)
        plot_queue(axes[3], log, start, end)
        if reader is not None:
            plot_reader(axes[4], log, reader, start, end)
        for ax in axes[:-1]:
            ax.set_xlabel("")
        axes[0].set_title(title or _title(log))
        _say_left_out(axes[1], len(set(present) - set(shown)), len(present))
        _legend(figure, axes[1], log, shown, start, end)
        figure.align_ylabels(axes)
    return figure


def save_timeline(figure: Figure, path: Path) -> None:
    """Write the figure in the house style, as what its name ends in; ValueError if that is no format of figures."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        figure.savefig(path)


def _chosen(present: list[int], unlucky: set[int], reader: Reader | None) -> list[int]:
    """At most 40 of the requests: the reader's, those that lost their place or were dropped then, and others.

    The former take half of the rows at most, and both are evenly spread over the order of arrival.
    """
    if len(present) <= MOST_ROWS:
        return present
    chosen = {reader.request} & set(present) if reader is not None else set()
    chosen |= set(_spread([i for i in present if i in unlucky and i not in chosen], MOST_ROWS // 2))
    return sorted(chosen | set(_spread([i for i in present if i not in chosen], MOST_ROWS - len(chosen))))


def _spread(requests: list[int], most: int) -> list[int]:
    """At most so many of them, evenly spread."""
    if len(requests) <= most:
        return requests
    return [requests[i] for i in np.linspace(0, len(requests) - 1, most).round().astype(np.int64)]


def _unlucky(log: TokenLog, start: float, end: float) -> set[int]:
    """Requests that were preempted or dropped in [start, end)."""
    assert log.events is not None
    preempted = np.isin(log.events.kind, (EventKind.PREEMPT_RECOMPUTE, EventKind.PREEMPT_SWAP))
    then = (log.events.time >= start) & (log.events.time < end)
    dropped = (log.status == Status.DROPPED) & (log.end >= start) & (log.end < end)
    return {*log.events.request[preempted & then].tolist(), *np.flatnonzero(dropped).tolist()}


def _check_reader(log: TokenLog, reader: Reader, start: float, end: float) -> None:
    progress = progress_of(log, reader)
    arrival = float(log.arrival[reader.request])
    over = max([arrival, *progress.read[-1:], *np.nan_to_num(log.end[reader.request : reader.request + 1])])
    if arrival >= end or over <= start:
        when = f"it arrives at {arrival:g} s and is over and read at {over:g} s"
        raise ValueError(f"request {reader.request}: from {start:g} s to {end:g} s nobody reads, {when}")


def _known(log: TokenLog, requests: Sequence[int]) -> list[int]:
    check_requests(log, requests)
    if len(requests) > MOST_ROWS:
        raise ValueError(f"{len(requests)} requests to show, {MOST_ROWS} fit into a figure")
    return list(requests)


def _panels(rows: int, with_reader: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    heights = [_GPU, max(rows * _ROW, 0.6), _LEVEL, _LEVEL] + [_READER] * with_reader
    figure = Figure(figsize=(_WIDTH, sum(heights) + 1.5))
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    figure.get_layout_engine().set(h_pad=0.02, hspace=0.01)  # type: ignore[union-attr, call-arg]
    return figure, list(axes)


def _title(log: TokenLog) -> str:
    told = [str(log.meta[key]) for key in ("policy", "profile", "workload") if key in log.meta]
    return ", ".join(told)


def _say_left_out(ax: Axes, left_out: int, present: int) -> None:
    if left_out:
        text = f"{present - left_out} of the {present} requests in the system, {left_out} are not shown"
        ax.set_title(text, loc="right", fontsize="small", fontweight="normal", color=NOTE_COLOUR, pad=3)


def _legend(figure: Figure, rows: Axes, log: TokenLog, shown: Sequence[int], start: float, end: float) -> None:
    occurring: set[Phase] = {
        stay.phase for i in shown for stay in phases(log, i) if stay.start < end and stay.end > start
    }
    marks = {str(line.get_label()) for line in rows.get_lines() if np.size(line.get_xdata())}
    blocks = iterations(log, start, end)
    kinds = {Kind(kind) for kind in blocks.kind.tolist()}
    draw_legend(figure, kinds, len(idle_gaps(blocks, start, end)[0]) > 0, occurring, marks)
