"""The panels of a timeline, each drawn on the axes that it is given and returns; time goes to the right, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.timeline.iterations import Kind, check_window, iterations
from experiments.timeline.levels import Level, kv_level, running_level, waiting_level
from experiments.timeline.looks import (
    DEADLINE,
    DROPPED,
    FIRST_TOKEN,
    IDLE_COLOUR,
    KIND_LOOKS,
    MARKERS,
    PHASE_LOOKS,
)
from experiments.timeline.phases import Phase, Stay, first_token_time, phases
from simulator.token_log import Floats, Status, TokenLog

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME = "time (s)"
_EDGES_UP_TO = 120
"""Iterations that are drawn with a gap between them; more of them would be nothing but gaps."""


def plot_gpu(ax: Axes, log: TokenLog, start: float, end: float) -> Axes:
    """The iterations of [start, end) as blocks: prefill, decode, or both one above the other; idle where none is.

    Raises ValueError like `iterations`.
    """
    blocks = iterations(log, start, end)
    ax.axhspan(0.0, 1.0, color=IDLE_COLOUR, linewidth=0)
    width = 0.6 if len(blocks) <= _EDGES_UP_TO else 0.0
    for kind in Kind:
        mine = blocks.kind == kind
        spans = np.column_stack((blocks.start[mine], (blocks.end - blocks.start)[mine]))
        upper, lower = KIND_LOOKS[kind]
        halves = [(0.0, 1.0, upper)] if upper == lower else [(0.5, 0.5, upper), (0.0, 0.5, lower)]
        for bottom, height, colour in halves:
            ax.broken_barh(spans.tolist(), (bottom, height), facecolor=colour, edgecolor="white", linewidth=width)
    ax.set_ylim(0.0, 1.0)
    ax.set_yticks([0.5], ["GPU"])
    return _along_time(ax, start, end)


def plot_requests(
    ax: Axes,
    log: TokenLog,
    requests: Sequence[int],
    start: float,
    end: float,
    *,
    deadlines: Mapping[int, float] | None = None,
    marked: int | None = None,
) -> Axes:
    """A row for each of `requests`, the first at the top, with its phases and its first token in [start, end).

    deadlines: when the first token of a request is due, seconds, by its number. marked: the request whose number is
    printed bold. Raises ValueError like `check_window`.
    """
    check_window(log, start, end)
    stays = [phases(log, request) for request in requests]
    for phase in Phase:
        _draw_phase(ax, phase, stays, start, end)
    rows = range(len(requests))
    _mark(ax, FIRST_TOKEN, [first_token_time(log, request) for request in requests], rows, start, end)
    ends = [log.end[i] if log.status[i] in (Status.DROPPED, Status.FAILED) else np.nan for i in requests]
    _mark(ax, DROPPED, ends, rows, start, end)
    if deadlines:
        _mark(ax, DEADLINE, [deadlines.get(request, np.nan) for request in requests], rows, start, end)
    ax.set_ylim(len(requests) - 0.4, -0.6)
    _label_rows(ax, requests, marked)
    return _along_time(ax, start, end)


def plot_kv(ax: Axes, log: TokenLog, start: float, end: float) -> Axes:
    """KV blocks held in [start, end), in % of all of them. Raises ValueError like `kv_level`."""
    level = kv_level(log, start, end)
    times, held = _corners(level, end)
    share = 100.0 * held / max(log.total_blocks, 1)
    ax.fill_between(times, share, step="post", color="#009E73", alpha=0.35, linewidth=0)
    ax.step(times, share, where="post", color="#00664B", linewidth=1.2)
    ax.set_ylim(0.0, 104.0)
    ax.set_yticks([0, 50, 100])
    ax.set_ylabel("KV blocks\n(%)")
    return _along_time(ax, start, end)


def plot_queue(ax: Axes, log: TokenLog, start: float, end: float) -> Axes:
    """Requests running and waiting in [start, end). Raises ValueError like `check_window`."""
    from matplotlib.ticker import MaxNLocator

    check_window(log, start, end)
    running, waiting = (level(log).between(start, end) for level in (running_level, waiting_level))
    look: dict[str, Any] = {"where": "post"}
    ax.step(*_corners(running, end), color="#E69F00", linewidth=1.6, label="running", **look)
    ax.step(*_corners(waiting, end), color="#444444", linewidth=1.0, label="waiting", **look)
    ax.set_ylim(0.0, 1.15 * max(running.values.max(), waiting.values.max(), 4))
    ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.set_ylabel("requests")
    legend_above(ax)
    return _along_time(ax, start, end)


def legend_above(ax: Axes) -> None:
    """Names of the curves in a line above them, at the right."""
    count = len(ax.get_legend_handles_labels()[1])
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
    ax.legend(ncols=count, fontsize="small", handlelength=1.6, columnspacing=1.4, **place)


def _along_time(ax: Axes, start: float, end: float) -> Axes:
    ax.set_xlim(start, end)
    ax.set_xlabel(TIME)
    ax.grid(visible=False, axis="y")
    return ax


def _draw_phase(ax: Axes, phase: Phase, stays: list[list[Stay]], start: float, end: float) -> None:
    from matplotlib.collections import PolyCollection

    look = PHASE_LOOKS[phase]
    half = look.height / 2
    boxes = [
        [(left, row - half), (right, row - half), (right, row + half), (left, row + half)]
        for row, of_request in enumerate(stays)
        for kind, left, right in of_request
        if kind is phase and left < end and right > start
    ]
    edge = "white" if look.hatch else "none"
    ax.add_collection(
        PolyCollection(
            boxes, facecolor=look.colour, edgecolor=edge, hatch=look.hatch, linewidth=0, label=phase.value, zorder=2
        )
    )


def _mark(ax: Axes, mark: str, times: Sequence[float], rows: range, start: float, end: float) -> None:
    marker, fill, size = MARKERS[mark]
    shown = [(time, row) for time, row in zip(times, rows, strict=True) if start <= time < end]
    look: dict[str, Any] = {"marker": marker, "markerfacecolor": fill, "markersize": size, "label": mark}
    x, y = zip(*shown, strict=True) if shown else ((), ())
    ax.plot(x, y, linestyle="", color="black", markeredgewidth=0.9, zorder=3, **look)


def _label_rows(ax: Axes, requests: Sequence[int], marked: int | None) -> None:
    ax.set_yticks(range(len(requests)), [str(request) for request in requests])
    ax.tick_params(axis="y", length=0, labelsize=7)
    for request, label in zip(requests, ax.get_yticklabels(), strict=True):
        if request == marked:
            label.set_fontweight("bold")
            label.set_color("black")
    ax.set_ylabel("request")


def _corners(level: Level, end: float) -> tuple[Floats, Floats]:
    """The corners of a step function, its last value held until `end`."""
    return np.append(level.times, end), np.append(level.values, level.values[-1]).astype(np.float64)
