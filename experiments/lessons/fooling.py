"""Runs whose metrics are fooled: tokens held back, requests abandoned, last tokens withheld."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.lessons import runs
from experiments.style import NOTE_COLOUR, policy_styles
from simulator import TokenLog
from simulator.delivery import deliver
from simulator.metrics import SLO, User, summary_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW = 120.0
"""s of arrivals."""
BOUND = 0.1
"""s: no gap between two tokens may be longer."""
GAPS = (0, 10, 25, 50, 75, 100, 110, 150, 200, 300, 400)
"""ms for which tokens are held."""
GOODPUT, SMOOTH_GOODPUT = "goodput_requests_per_s_window", "smooth_goodput_tokens_per_s_window"
_COLOUR = policy_styles(["fcfs"])["fcfs"].colour
_TREATED, _WORSE = "#56B4E9", "#D55E00"
_HATCH = "////"


def promise(bound: float = BOUND) -> SLO:
    """The first token within 1 s, and no gap above `bound` seconds."""
    return SLO(ttft=1.0, tbt=bound)


def served(rate: float) -> TokenLog:
    """Chats at `rate` requests/s under fcfs."""
    return runs.run(runs.poisson(rate, window=WINDOW))


@lru_cache(maxsize=256)
def held(rate: float, gap_ms: float) -> TokenLog:
    """The same tokens, each of them held until so long after the one before it; 0: as they were served."""
    return deliver(served(rate), f"hold_tokens:gap={gap_ms / 1e3:g}") if gap_ms else served(rate)


@lru_cache(maxsize=256)
def held_values(rate: float, gap_ms: float) -> Mapping[str, float]:
    """Every metric of them."""
    return summary_values(held(rate, gap_ms), promise())


@lru_cache(maxsize=256)
def values(rate: float, policy: str, bound: float = BOUND, user: User | None = None) -> Mapping[str, float]:
    """Every metric of a run in which no gap should be above `bound` seconds."""
    return summary_values(runs.run(runs.poisson(rate, window=WINDOW), policy), promise(bound), user)


def dropping(bound: float) -> str:
    """The policy that is fcfs and abandons whoever had a gap above `bound` seconds."""
    return f"drop_on_miss:on=tbt:tbt={bound:g}"


def most_stalled(log: TokenLog) -> int:
    """The request of 50 to 150 tokens with the longest gap between two of them."""
    offsets = log.token_times().offsets
    counts = np.diff(offsets)
    fit = np.flatnonzero((counts >= 50) & (counts <= 150))
    gaps = np.diff(log.token_times().times)
    return int(fit[np.argmax([gaps[offsets[i] : offsets[i + 1] - 1].max() for i in fit])])


def draw_holding(goodput: Axes, smooth: Axes, rate: float, gap_ms: float) -> None:
    """Goodput and smooth goodput by how long tokens are held, and where the slider stands."""
    for ax, metric, title, unit in (
        (goodput, GOODPUT, "Goodput", "requests/s"),
        (smooth, SMOOTH_GOODPUT, "Smooth goodput", "tokens/s"),
    ):
        ax.plot(GAPS, [held_values(rate, gap)[metric] for gap in GAPS], color=_COLOUR, marker=".")
        ax.plot(gap_ms, held_values(rate, gap_ms)[metric], "o", color=_WORSE, markersize=9, zorder=4, clip_on=False)
        ax.set_title(title)
        ax.set_ylabel(unit)
        ax.set_xlabel("a token is held for (ms)")
        ax.set_xticks([0, 100, 200, 300, 400])
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    note: dict[str, Any] = {"color": NOTE_COLOUR, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    goodput.axvline(1e3 * BOUND, **note)
    goodput.annotate("the bound", (1e3 * BOUND, 0), (9, 40), textcoords="offset points", color=NOTE_COLOUR)
    smooth.axvline(200, **note)
    smooth.annotate("the reader's pace", (200, 0), (5, 12), textcoords="offset points", color=NOTE_COLOUR)


def draw_pair(ax: Axes, before: float, after: float, title: str, unit: str, names: tuple[str, str]) -> None:
    """A quantity as served, and treated."""
    bars = ax.bar([0, 1], [before, after], width=0.62, color=[_COLOUR, _TREATED], edgecolor="white", linewidth=0)
    bars[1].set_hatch(_HATCH)
    ax.bar_label(bars, [_short(before), _short(after)], padding=2, fontsize=9, color="#333333")
    ax.axhline(0.0, color="#888888", linewidth=0.8)
    ax.set_xticks([0, 1], names)
    ax.margins(y=0.16)
    ax.grid(visible=False, axis="x")
    ax.set_title(title, fontsize=10)
    ax.set_ylabel(unit)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 10 else f"{value:.1f}"
