"""Panels of the page's figures: a grid of axes of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
"""Dots per inch at which the page's figures are written: small files that are sharp in a browser column."""


def panels(count: int, *, across: int, width: float = 3.9, height: float = 3.0) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes, `across` in a row, each `width` × `height` inches, row by row; no empty axes."""
    from matplotlib.figure import Figure

    down = -(-count // across)
    figure = Figure(figsize=(width * across, height * down + 0.4))
    axes = np.atleast_1d(figure.subplots(down, across)).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]
