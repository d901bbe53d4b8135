"""Paired runs as slopes: a line from one policy to the other for each seed, a panel for each measure."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from experiments.demos.outcome import Finding
from experiments.demos.words import difference_words
from experiments.style import NOTE_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BETTER, _WORSE, _SAME = "#0072B2", "#D55E00", "#666666"


def draw_slopes(ax: Axes, finding: Finding, labels: tuple[str, str]) -> Axes:
    """The measure in every pair, thin, and its mean, thick: blue if it is better, red if worse, grey if neither."""
    b, a = finding.b * finding.measure.scale, finding.a * finding.measure.scale
    colour = _colour(finding)
    ax.plot([0, 1], np.vstack([b, a]), color=colour, alpha=0.3, linewidth=1.0)
    ax.plot([0, 1], [b.mean(), a.mean()], color=colour, linewidth=3.0, marker="o")
    ax.set_xlim(-0.3, 1.3)
    ax.set_xticks([0, 1], labels)
    ax.margins(y=0.15)
    _limits(ax, finding)
    ax.grid(visible=False, axis="x")
    ax.set_title(finding.measure.words.replace(", ", ",\n"), fontsize=10)
    ax.set_ylabel(finding.measure.unit)
    ax.set_xlabel(f"{difference_words(finding)}\n{_verdict(finding)}", color=colour if finding.holds else _WORSE)
    return ax


def _limits(ax: Axes, finding: Finding) -> None:
    """From 0 where no value is below it; room around values that are all the same."""
    low, high = (float(edge(np.concatenate([finding.a, finding.b]))) for edge in (np.min, np.max))
    if isfinite(low) and low >= 0.0:
        ax.set_ylim(bottom=0.0, top=max(high, 1e-9) * finding.measure.scale * 1.12)
    else:
        ax.axhline(0.0, color=NOTE_COLOUR, linewidth=0.8)


def _colour(finding: Finding) -> str:
    if finding.claim.worsens:
        return _WORSE
    return _BETTER if finding.claim.improves else _SAME


def _verdict(finding: Finding) -> str:
    return finding.expected if finding.holds else f"not shown: {finding.expected}"
