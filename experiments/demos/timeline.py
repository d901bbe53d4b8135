"""The life of one answer against time: when its tokens were generated, delivered, read and due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.demos.hand import Answer, Curves, HandPair, curves, spell, values
from experiments.style import NOTE_COLOUR
from simulator.token_log import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GENERATED, _DELIVERED, _READ, _LATE = "#56B4E9", "#0072B2", "#E69F00", "#D55E00"
_NOTED = 0.09
"""Share of the timeline from which on a time has room for a label."""


def draw_timeline(ax: Axes, pair: HandPair, answer: Answer) -> Axes:
    """Tokens over seconds since submission; shaded is what the reader waits for, or what QoE makes of it."""
    speed = float(pair.user.speeds(1)[0])
    line = curves(answer, pair.user)
    most = max(len(pair.served.generated), len(pair.treated.generated))
    if pair.shows == "qoe":
        _shade_areas(ax, line)
    else:
        _shade_wait(ax, line)
    due = np.array([0.0, most / speed])
    ax.plot(due, due * speed, color=NOTE_COLOUR, linestyle="--", linewidth=1.3, label="due (reading speed)")
    _steps(ax, line.read, color=_READ, linewidth=5.0, alpha=0.55, label="read")
    if answer.delivery != "immediate":
        _steps(ax, line.generated, color=_GENERATED, linewidth=1.4, label="generated")
    _steps(ax, line.delivered, color=_DELIVERED, linewidth=1.8, label="delivered")
    ax.plot(line.delivered, np.arange(1, len(line.delivered) + 1), ".", color=_DELIVERED)
    if answer.dropped_at is not None:
        _draw_drop(ax, answer, pair, speed)
    elif pair.shows == "idle latency":
        _note_worst(ax, line, _NOTED * pair.until)
    ax.set_xlim(0.0, pair.until)
    ax.set_ylim(0.0, most + 1.2)
    ax.set_title(answer.title)
    ax.set_xlabel("time since submission (s)")
    ax.set_ylabel("tokens")
    return ax


def draw_scores(ax: Axes, pair: HandPair, answer: Answer) -> Axes:
    """The metrics of the answer as lines of text, on axes that show nothing else."""
    ax.axis("off")
    found = values(pair, answer)
    for i, (score, value) in enumerate(zip(pair.scores, found, strict=True)):
        y = 1.0 - (i + 0.5) / len(pair.scores)
        ax.text(0.0, y, score.words, color=NOTE_COLOUR, va="center", transform=ax.transAxes)
        ax.text(0.62, y, spell(score, value), weight="bold", va="center", transform=ax.transAxes)
    return ax


def _steps(ax: Axes, times: Floats, label: str, **look: Any) -> None:
    """A curve that rises by one token at each time."""
    if len(times):
        ax.step(np.concatenate(([times[0]], times)), np.arange(len(times) + 1), where="post", label=label, **look)


def _shade_wait(ax: Axes, line: Curves) -> None:
    """Between each token's deadline and its delivery, where that is later."""
    late = np.maximum(line.delivered - line.due, 0.0)
    tokens = np.arange(1, len(late) + 1)
    ax.barh(tokens - 0.5, late, left=line.due, height=1.0, color=_LATE, alpha=0.18, linewidth=0)


def _shade_areas(ax: Axes, line: Curves) -> None:
    """QoE's S_whole, light, up to when the last token was read, and S_delay, dark."""
    tokens = np.arange(1, len(line.due) + 1) - 0.5
    ax.barh(tokens, line.read[-1] - line.due, left=line.due, height=1.0, color=NOTE_COLOUR, alpha=0.13, linewidth=0)
    ax.barh(tokens, line.read - line.due, left=line.due, height=1.0, color=_LATE, alpha=0.3, linewidth=0)


def _note_worst(ax: Axes, line: Curves, least: float) -> None:
    """The user idle latency if it is that long, or else the longest gap between tokens if that is."""
    late, gaps = line.delivered - line.due, np.diff(line.delivered)
    i, j = int(np.argmax(late)), int(np.argmax(gaps))
    if late[i] >= least:
        _arrow(ax, float(line.due[i]), float(line.delivered[i]), i + 1, f"waits {late[i]:.3g} s", _LATE)
    elif gaps[j] >= least:
        _arrow(ax, float(line.delivered[j]), float(line.delivered[j + 1]), j + 1, f"{gaps[j]:.3g} s", _DELIVERED)


def _arrow(ax: Axes, start: float, end: float, tokens: int, text: str, colour: str) -> None:
    look = {"arrowstyle": "<->", "color": colour, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (start, tokens), (end, tokens), arrowprops=look)
    ax.annotate(text, ((start + end) / 2, tokens), (0, 4), textcoords="offset points", color=colour, ha="center")


def _draw_drop(ax: Axes, answer: Answer, pair: HandPair, speed: float) -> None:
    """A cross at the drop, and the wait for the next token until patience ends."""
    assert answer.dropped_at is not None
    count, patience = len(answer.generated), pair.user.patience
    due = (count + 1) / speed
    ax.plot(answer.dropped_at, count, marker="X", markersize=9, color=_LATE, linestyle="", zorder=4, clip_on=False)
    offset = (8, -13) if count else (10, 3)
    ax.annotate("dropped", (answer.dropped_at, count), offset, textcoords="offset points", color=_LATE)
    ax.barh(count + 0.5, patience - due, left=due, height=1.0, color=_LATE, alpha=0.18, linewidth=0)
    ax.text((due + patience) / 2, count + 0.5, f"waits {patience - due:.3g} s", color=_LATE, ha="center", va="center")
