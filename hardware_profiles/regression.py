"""Least mean absolute relative error with lower bounds: what both forms of the latency model are fitted by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Floats = npt.NDArray[np.float64]

REWEIGHTINGS = 8
_SMALLEST_ERROR = 0.01
"""Relative error below which the reweighting no longer tells rows apart."""


class Solution(NamedTuple):
    """Coefficients (num_columns,) and the weighted mean of the absolute relative errors."""

    coefficients: Floats
    error: float


def least_relative_error(
    design: Floats,
    target: Floats,
    lower: Floats,
    importance: Floats,
    known: Floats | float = 0.0,
    reweightings: int = REWEIGHTINGS,
) -> Solution:
    """The x ≥ `lower` with known + design·x near `target` in relative terms.

    Non-negative least squares on relative errors, the bounds substituted (x = lower + y, y ≥ 0), repeated with
    each row weighted by 1/√|error| of the solution before: squares become absolute values. One `reweightings`
    is plain least squares. design: (num_rows, num_columns); target > 0, importance and known: (num_rows,).
    """
    relative = design / target[:, None]
    rest = 1.0 - known / target - relative @ lower
    weights = np.sqrt(importance)
    for _ in range(reweightings):
        above = _nonnegative_least_squares(relative * weights[:, None], rest * weights)
        errors = np.abs(relative @ above - rest)
        weights = np.sqrt(importance / np.maximum(errors, _SMALLEST_ERROR))
    return Solution(lower + above, float(np.average(errors, weights=importance)))


def _nonnegative_least_squares(matrix: Floats, target: Floats) -> Floats:
    """The x ≥ 0 of least |matrix·x − target|, from the triangle of a QR: as many rows as columns, not hundreds."""
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0.0] = 1.0
    q, triangle = np.linalg.qr(matrix / scale)
    solution, _ = nnls(triangle, q.T @ target)
    return np.asarray(solution / scale, dtype=np.float64)
