"""A reader beside the server: tokens generated, delivered, read at the reader's speed, and due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.numbers import number
from experiments.score_plots import DELIVERED_COLOUR, READ_COLOUR, WAIT_COLOUR, Timeline
from experiments.timeline.phases import check_requests
from experiments.timeline.plots import legend_above
from simulator.token_log import Floats, TokenLog

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Reader(NamedTuple):
    """Who reads the answer to `request`, at `speed` tokens/s (by default that of arXiv 2410.14257)."""

    request: int
    speed: float = 5.0


class Progress(NamedTuple):
    """Of each token of an answer: when it was generated, delivered, read, and due, seconds; all (num_tokens,).

    read: 1/speed after the one before it, and not before it is delivered or due. due: submission + i/speed, the
    deadline of smooth goodput, so that the last token is read later than due by the idle latency.
    """

    generated: Floats
    delivered: Floats
    read: Floats
    due: Floats


def progress_of(log: TokenLog, reader: Reader) -> Progress:
    """How the answer came and was read. Raises ValueError for a request that the log has not, or a speed ≤ 0."""
    request, speed = reader
    check_requests(log, [request])
    if not 0 < speed < np.inf:
        raise ValueError(f"reading speed {speed:g} tokens/s should be above 0 and finite")
    arrival = float(log.arrival[request])
    delivered = log.token_times(request, request + 1).times
    reading = Timeline(delivered, arrival, speed)
    generated = log.generated_times(request, request + 1).times
    return Progress(generated, delivered, reading.read(), reading.due())


def plot_reader(ax: Axes, log: TokenLog, reader: Reader, start: float | None = None, end: float | None = None) -> Axes:
    """Tokens of an answer over time: generated, delivered if that differs, read, and due.

    The area between delivered and read is what lies in the reader's buffer, that between read and due what waiting
    has cost the reader. start, end: seconds, from submission to the last token read if not given.
    Raises ValueError like `progress_of`.
    """
    progress = progress_of(log, reader)
    arrival = float(log.arrival[reader.request])
    start = arrival if start is None else start
    end = max([arrival, *progress.read[-1:], *progress.due[-1:]]) if end is None else end
    _fill(ax, progress.delivered, progress.read, end, color=DELIVERED_COLOUR, alpha=0.15, label="in the buffer")
    _fill(ax, progress.due, progress.read, end, color=WAIT_COLOUR, label="behind")
    if log.delivered is not None:
        _steps(ax, progress.generated, end, label="generated", color="#56B4E9", linewidth=1.4)
    came = "generated" if log.delivered is None else "delivered"
    _steps(ax, progress.delivered, end, label=came, color=DELIVERED_COLOUR, linewidth=1.8)
    _steps(
        ax, progress.read, end, label=f"read at {number(reader.speed, 2)} tokens/s", color=READ_COLOUR, linewidth=1.4
    )
    due = np.concatenate(([arrival], progress.due))
    ax.plot(due, np.arange(len(due)), color="black", linestyle=(0, (1, 1.5)), linewidth=1.4, label="due")
    ax.set_xlim(start, end)
    _fit_tokens(ax, progress, start, end)
    ax.set_xlabel("time (s)")
    ax.set_ylabel(f"tokens of\nrequest {reader.request}")
    legend_above(ax)
    return ax


def _count(times: Floats, at: Any) -> Any:
    """How many of `times` have come by then."""
    return np.searchsorted(times, at, side="right")


def _steps(ax: Axes, times: Floats, end: float, **look: Any) -> None:
    ax.step(np.append(times, end), np.append(np.arange(1, len(times) + 1), len(times)), where="post", **look)


def _fill(ax: Axes, above: Floats, below: Floats, end: float, **look: Any) -> None:
    at = np.unique(np.concatenate((above, below, [end])))
    ax.fill_between(at, _count(below, at), _count(above, at), step="post", linewidth=0, **look)


def _fit_tokens(ax: Axes, progress: Progress, start: float, end: float) -> None:
    """Limits that show every curve in [start, end] and no more."""
    low = min(_count(times, start) for times in progress)
    high = max(_count(times, end) for times in progress)
    ax.set_ylim(low - 0.02 * (high - low), max(low + 1.06 * (high - low), low + 1.0))
