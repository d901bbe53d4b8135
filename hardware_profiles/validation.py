"""How far a latency model is off the rows of a calibration table, seen and unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hardware_profiles.profile import Errors
from hardware_profiles.tables import KINDS, CalibrationTable, Floats
from simulator.latency import LatencyModel

Fitter: TypeAlias = Callable[[CalibrationTable], LatencyModel]

NUM_FOLDS = 5
TOP_SHARE = 0.08
"""Share of the rows of a kind, by latency, that make the top of its range."""


def step_times(latency: LatencyModel, table: CalibrationTable) -> Floats:
    """Predicted step time of every row, seconds, (num_rows,)."""
    return np.array([latency.step_time(batch) for batch in table.batches()])


def percentage_errors(latency: LatencyModel, table: CalibrationTable) -> Floats:
    """Absolute error of every row in percent of its latency in the table, (num_rows,)."""
    errors: Floats = 100.0 * np.abs(step_times(latency, table) / table.latency - 1.0)
    return errors


def by_kind(errors: Floats, table: CalibrationTable) -> dict[str, float]:
    """Mean error of each kind of iteration that the table has."""
    return {kind: float(errors[table.kind == kind].mean()) for kind in KINDS if (table.kind == kind).any()}


def cross_validate(table: CalibrationTable, fitter: Fitter) -> Errors:
    """Errors on rows that the fit did not see: random folds, and the top of each kind's range held out.

    The folds are drawn from a fixed seed: the same table gives the same errors.
    """
    fold = np.random.default_rng(0).permutation(len(table)) % NUM_FOLDS
    errors = np.empty(len(table))
    for i in range(NUM_FOLDS):
        unseen = fold == i
        errors[unseen] = percentage_errors(fitter(table.rows(~unseen)), table.rows(unseen))
    top = top_of_range(table)
    top_errors = percentage_errors(fitter(table.rows(~top)), table.rows(top))
    return Errors.model_validate(
        {
            "folds": NUM_FOLDS,
            "overall": round(float(errors.mean()), 2),
            "by_kind": {kind: round(error, 2) for kind, error in by_kind(errors, table).items()},
            "p95": round(float(np.quantile(errors, 0.95)), 2),
            "top_of_range": round(float(top_errors.mean()), 2),
            "top_of_range_rows": int(top.sum()),
        }
    )


def top_of_range(table: CalibrationTable) -> npt.NDArray[np.bool_]:
    """Rows at the top of the range: of each kind the share `TOP_SHARE` that takes longest, (num_rows,)."""
    top = np.zeros(len(table), dtype=np.bool_)
    for kind in np.unique(table.kind):
        rows = table.kind == kind
        top |= rows & (table.latency > np.quantile(table.latency[rows], 1.0 - TOP_SHARE))
    return top
