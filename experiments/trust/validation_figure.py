"""The validation page's figures: simulated against measured, and the errors by profile, engine and role."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.paper.panels import DPI, panels
from experiments.style import FIGURE_STYLE, NOTE_COLOUR
from experiments.trust.validation_batches import by_pair
from experiments.trust.validation_case import Case, Quantity, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = ""
_COLOURS = {_GREY: NOTE_COLOUR, "vLLM 2024": "#0072B2", "TensorRT-LLM 2024": "#D55E00", "vLLM 2023": "#000000"}
_MARKERS = {
    Role.FITTED: "o",
    Role.CHOSEN: "s",
    Role.UNSEEN: "^",
    Role.OVERFULL: "v",
    Role.ESTIMATE: "D",
    Role.OTHER: "P",
}
_BANDS = ((0.2, "#f0f0f0"), (0.1, "#dddddd"))
_CLIP = 100.0


def save_figures(cases: Sequence[Case], folder: Path) -> None:
    """Write validation.png, simulated against measured, and validation_errors.png to the folder."""
    import matplotlib

    look = FIGURE_STYLE | {"savefig.dpi": DPI, "font.size": 9, "axes.titlesize": 10}
    with matplotlib.rc_context(cast(Any, look)):
        draw_latencies(cases).savefig(folder / "validation.png")
        draw_errors([case for case in cases if case.quantity is Quantity.E2E]).savefig(folder / "validation_errors.png")


def draw_latencies(cases: Sequence[Case]) -> Figure:
    """Axes for each quantity and engine: simulated against measured seconds, both logarithmic."""
    found = sorted({(list(Quantity).index(case.quantity), case.engine) for case in cases})
    figure, axes = panels(len(found), across=min(2, len(found)), width=4.6, height=3.6)
    for ax, (i, engine) in zip(axes, found, strict=True):
        quantity = list(Quantity)[i]
        own = [case for case in cases if (case.quantity, case.engine) == (quantity, engine)]
        plot_latencies(ax, own).set_title(f"{quantity}: {engine}")
    figure.legend(handles=_legend(cases), loc="outside lower center", ncols=3)
    return figure


def plot_latencies(ax: Axes, cases: Sequence[Case]) -> Axes:
    """Simulated against measured, the identity and bands of 10 and 20 %; hollow marks are out-of-sample."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    measured = np.array([case.measured for case in cases])
    ends = np.array([measured.min() / 1.5, measured.max() * 1.5])
    for share, grey in _BANDS:
        ax.fill_between(ends, ends * (1 - share), ends * (1 + share), color=grey, linewidth=0)
    ax.plot(ends, ends, color=NOTE_COLOUR, linewidth=0.8)
    for role in _roles(cases)[::-1]:
        group = [case for case in cases if case.role is role]
        ax.plot([c.measured for c in group], [c.simulated for c in group], **_look(group[0].engine, role))
    ax.set(xscale="log", yscale="log", xlabel="measured (s)", ylabel="simulated (s)", xlim=ends)
    subs = (1.0, 2.0, 5.0) if ends[1] / ends[0] < 20 else (1.0,)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return ax


def draw_errors(cases: Sequence[Case]) -> Figure:
    """A row for each profile, engine and role: a mark per case, and a bar at their mean."""
    from matplotlib.figure import Figure

    groups = by_pair(cases)
    figure = Figure(figsize=(9.0, 0.21 * len(groups) + 1.4))
    ax = figure.subplots()
    for share, grey in _BANDS:
        ax.axvspan(-100 * share, 100 * share, color=grey, linewidth=0)
    ax.axvline(0, color=NOTE_COLOUR, linewidth=0.8)
    for row, ((_, engine, role), group) in enumerate(groups.items()):
        errors = np.clip([100 * case.error for case in group], -_CLIP, _CLIP)
        ax.plot(errors, np.full(len(group), row), **_look(engine, role) | {"alpha": 0.5})
        ax.plot([errors.mean()] * 2, [row - 0.4, row + 0.4], color=_COLOURS[engine], linewidth=2.0)
    ax.set_yticks(range(len(groups)), [f"{profile}, {_words(role)}" for profile, _, role in groups], fontsize=7.5)
    ax.set(ylim=(len(groups) - 0.4, -0.6), xlim=(-60, 100), xlabel="simulated against measured E2E (%)")
    ax.grid(axis="y", visible=False)
    figure.legend(handles=_legend(cases), loc="outside lower center", ncols=3)
    return figure


def _words(role: Role) -> str:
    return {Role.OVERFULL: "over the KV cache", Role.CHOSEN: "no preset", Role.ESTIMATE: "estimated"}.get(role, role)


def _roles(cases: Sequence[Case]) -> list[Role]:
    return [role for role in Role if any(case.role is role for case in cases)]


def _look(engine: str, role: Role) -> dict[str, Any]:
    colour = _COLOURS[engine]
    fill = colour if role.in_sample else "none"
    return {
        "linestyle": "",
        "marker": _MARKERS[role],
        "markersize": 4,
        "color": colour,
        "markerfacecolor": fill,
        "markeredgewidth": 0.8,
    }


def _legend(cases: Sequence[Case]) -> list[Any]:
    from matplotlib.lines import Line2D

    engines = [engine for engine in _COLOURS if any(case.engine == engine for case in cases)]
    lines = [Line2D([], [], color=_COLOURS[engine], linewidth=3, label=engine) for engine in engines]
    marks = [Line2D([], [], **_look(_GREY, role), label=role.value) for role in _roles(cases)]
    return [*lines, *marks]
