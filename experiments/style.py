"""The house style of figures: one look, and every policy in the same colour and marker everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from policies import policy_names
from policies.presets import PRESETS

FIGURE_STYLE: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "lines.linewidth": 2.0,
    "lines.markersize": 6.5,
    "legend.frameon": False,
    "svg.hashsalt": "smoothserve",
}
"""matplotlib rc parameters, for `matplotlib.rc_context`."""

NOTE_COLOUR = "#666666"
UNSTABLE_COLOUR = "#f3f3f3"

# Okabe and Ito's colours, which the colour-blind tell apart, in an order that alternates dark and light
_COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#CC79A7", "#009E73")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")


class PolicyStyle(NamedTuple):
    """How the marks of a policy look."""

    colour: str
    marker: str
    dash: str


def policy_styles(policies: Iterable[str]) -> dict[str, PolicyStyle]:
    """Looks by the place of the policy's name in the registry; variants of one differ in marker and dash.

    Each further round of the colours moves marker and dash on by one, so that no two of 28 policies look alike.
    """
    known = {name: i for i, name in enumerate([*policy_names(), *PRESETS])}
    variants: dict[str, int] = {}
    styles = {}
    for policy in dict.fromkeys(policies):
        name = re.split("[:@]", policy)[0]
        place = known.setdefault(name, len(known))
        variant = variants[name] = variants.get(name, -1) + 1
        shift = variant + place // len(_COLOURS)
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[(place + shift) % len(_MARKERS)]
        styles[policy] = PolicyStyle(colour, marker, _DASHES[shift % len(_DASHES)])
    return styles
