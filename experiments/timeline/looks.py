"""How phases and iterations look: hue, lightness and height all tell them apart, so that grey paper does too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.timeline.iterations import Kind
from experiments.timeline.phases import Phase

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure


class Look(NamedTuple):
    """A bar: its fill, how much of a row's height it takes, and the hatch over it."""

    colour: str
    height: float
    hatch: str = ""


# of Okabe and Ito's colours, as in the house style
PREFILL_COLOUR, DECODE_COLOUR, LOST_COLOUR, SWAP_COLOUR = "#0072B2", "#F2BC57", "#D55E00", "#CC79A7"
IDLE_COLOUR, WAITING_COLOUR, PAUSED_COLOUR = "#f3f3f3", "#bdbdbd", "#333333"

PHASE_LOOKS = {
    Phase.WAITING: Look(WAITING_COLOUR, 0.3),
    Phase.PREFILL: Look(PREFILL_COLOUR, 0.82),
    Phase.DECODE: Look(DECODE_COLOUR, 0.82),
    Phase.PAUSED: Look(PAUSED_COLOUR, 0.12),
    Phase.PREEMPTED: Look(LOST_COLOUR, 0.5, "//////"),
    Phase.SWAPPED: Look(SWAP_COLOUR, 0.5, "......"),
}
KIND_LOOKS = {
    Kind.PREFILL: (PREFILL_COLOUR, PREFILL_COLOUR),
    Kind.CHUNK: (PREFILL_COLOUR, DECODE_COLOUR),
    Kind.DECODE: (DECODE_COLOUR, DECODE_COLOUR),
}
"""Colours of the upper and the lower half of an iteration: one that does both shows both."""

FIRST_TOKEN, DROPPED, DEADLINE = "first token", "dropped", "first token due"
MARKERS = {FIRST_TOKEN: ("o", "white", 4.5), DROPPED: ("X", "black", 6.0), DEADLINE: ("|", "black", 8.0)}
"""Marker, fill and size in points of what happens at one moment."""


def draw_legend(figure: Figure, kinds: set[Kind], idle: bool, phases: set[Phase], marks: set[str]) -> None:
    """Below the figure, a sample of everything that occurs in it, named."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    named: dict[str, Any] = {str(handle.get_label()): handle for handle in [*_of_phases(phases), *_of_marks(marks)]}
    if Kind.CHUNK in kinds:
        named["both in one batch"] = tuple(Patch(facecolor=colour) for colour in KIND_LOOKS[Kind.CHUNK])
    if idle:
        named["GPU idle"] = Patch(facecolor=IDLE_COLOUR, edgecolor=WAITING_COLOUR, linewidth=0.6)
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0.0)}
    look: dict[str, Any] = {"handlelength": 1.6, "columnspacing": 1.6, "handler_map": side_by_side}
    figure.legend([*named.values()], [*named], loc="outside lower center", ncols=len(named), **look)


def _of_phases(phases: set[Phase]) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    for phase in (phase for phase in Phase if phase in phases):
        look = PHASE_LOOKS[phase]
        if phase is Phase.PAUSED:
            handles.append(Line2D([], [], color=look.colour, linewidth=1.5, label=phase.value))
        else:
            edge = "white" if look.hatch else "none"
            handles.append(Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=edge, label=phase.value))
    return handles


def _of_marks(marks: set[str]) -> list[Artist]:
    from matplotlib.lines import Line2D

    handles: list[Artist] = []
    for mark in (mark for mark in MARKERS if mark in marks):
        marker, fill, size = MARKERS[mark]
        look_of_mark: dict[str, Any] = {
            "marker": marker,
            "markerfacecolor": fill,
            "markeredgecolor": "black",
            "markersize": size,
        }
        handles.append(Line2D([], [], linestyle="", label=mark, **look_of_mark))
    return handles
