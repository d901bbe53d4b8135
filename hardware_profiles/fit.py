"""Fits both forms of the latency model to a calibration table.

For each candidate ridge n* (and hybrid KV cost m) the model is linear in its other coefficients; they have the
least mean absolute relative error, and none is below its physical bound. Not squares: the tables have steps
(tiles of matrix products) that no straight line follows and that squares would chase. The slower a row is among
those of its kind, the more it counts (up to twice): beyond the slowest the model extrapolates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from hardware_profiles.datasheets import PhysicalBounds
from hardware_profiles.regression import REWEIGHTINGS, Solution, least_relative_error
from hardware_profiles.table_latency import TableLatency
from hardware_profiles.tables import CalibrationTable, Floats
from simulator.latency import PiecewiseLinearLatency

MIN_ROWS = 16
NUM_KNOTS = 15
MIN_ROWS_FOR_KNOTS = 100
LEAST_RATIO, GREATEST_RATIO = 0.5, 50.0
"""Bounds on the ratio of a latency to what it would be at the data sheet's peaks (the tables have 0.93 to 15)."""
_RIDGES = np.unique(np.round(np.geomspace(8, 2048, 49)))
_HYBRID_COSTS = np.arange(0.0, 4.01, 0.125)


class _Piecewise(NamedTuple):
    error: float
    ridge: float
    hybrid_cost: float
    coefficients: Floats


def fit(table: CalibrationTable, bounds: PhysicalBounds, hybrid_cost: bool = True) -> PiecewiseLinearLatency:
    """The piecewise linear latency of least mean absolute relative error on `table`.

    `hybrid_cost`: whether m is fitted; composed tables know nothing of it and it is 0.
    Raises ValueError as `check_coverage` does.
    """
    check_coverage(table)
    importance = _importance(table)
    lower = np.array([bounds.t0, 0.0, bounds.s_hi, bounds.k, 0.0, bounds.a])
    costs = _hybrid_costs(table, hybrid_cost)

    def best(ridges: Iterable[float], costs: Iterable[float], **options: int) -> _Piecewise:
        found = []
        for ridge in ridges:
            for cost in costs:
                design = np.column_stack([_linear_layers(table.tokens, ridge), _attention(table, cost)])
                solution = least_relative_error(design, table.latency, lower, importance, **options)
                found.append(_Piecewise(solution.error, float(ridge), float(cost), solution.coefficients))
        return min(found, key=lambda candidate: candidate.error)

    squares = best(_RIDGES, costs[::4], reweightings=1)
    near = _RIDGES[np.abs(np.log(_RIDGES / squares.ridge)) < np.log(4.0)]
    ridge = best(near, [squares.hybrid_cost]).ridge
    _, _, m, coefficients = best([ridge], costs[np.abs(costs - squares.hybrid_cost) < 0.8])
    t0, s_lo, s_hi, k, kp, a = (float(value) for value in coefficients)
    return PiecewiseLinearLatency(t0=t0, s_lo=s_lo, s_hi=s_hi, n_ridge=ridge, k=k, kp=kp, a=a, m=m)


def fit_table(table: CalibrationTable, bounds: PhysicalBounds, hybrid_cost: bool = True) -> TableLatency:
    """The latency read from `NUM_KNOTS` knots, fitted as `fit` does; its last slope is at least that of the peak."""
    check_coverage(table, MIN_ROWS_FOR_KNOTS)
    importance = _importance(table)
    knots = np.unique(np.round(np.geomspace(1.0, table.tokens.max(), NUM_KNOTS)))
    ramps = np.clip(table.tokens[:, None] - knots[:-1], 0.0, np.append(np.diff(knots)[:-1], np.inf))
    linear = np.column_stack([np.ones(len(table)), ramps])
    slopes = np.append(np.zeros(len(knots) - 2), bounds.s_hi)
    lower = np.concatenate([[bounds.t0], slopes, [bounds.k, 0.0, bounds.a]])

    def solved(m: float, reweightings: int) -> Solution:
        design = np.column_stack([linear, _attention(table, m)])
        return least_relative_error(design, table.latency, lower, importance, reweightings=reweightings)

    m = min(_hybrid_costs(table, hybrid_cost), key=lambda cost: solved(cost, 2).error)
    x = solved(m, REWEIGHTINGS).coefficients
    seconds = x[0] + np.concatenate([[0.0], np.cumsum(x[1:-3] * np.diff(knots))])
    k, kp, a = (float(value) for value in x[-3:])
    return TableLatency(tokens=tuple(knots.tolist()), seconds=tuple(seconds.tolist()), k=k, kp=kp, a=a, m=float(m))


def check_coverage(table: CalibrationTable, min_rows: int = MIN_ROWS) -> None:
    """Raises ValueError if the table cannot identify the model: too few rows, a kind or a range that is missing."""
    if len(table) < min_rows:
        raise ValueError(f"{len(table)} rows are too few for a fit: at least {min_rows} are needed")
    for kind in ("prefill", "decode"):
        if not (table.kind == kind).any():
            raise ValueError(f"no {kind} rows: the table does not cover what the model describes")
    for what, values in (("kv_tokens", table.kv_tokens), ("tokens", table.tokens)):
        if np.unique(values[table.kind == ("decode" if what == "kv_tokens" else "prefill")]).size < 3:
            raise ValueError(f"fewer than 3 different {what}: the range is not covered")


def check_plausible(table: CalibrationTable, bounds: PhysicalBounds) -> None:
    """Raises ValueError for a latency that the data sheet rules out, and for one far beyond it: a wrong unit."""
    arithmetic = np.maximum(bounds.t0, bounds.s_hi * table.tokens)
    floor = arithmetic + bounds.k * table.kv_tokens + bounds.a * table.attention_pairs
    ratio = table.latency / floor
    absurd = np.flatnonzero((ratio < LEAST_RATIO) | (ratio > GREATEST_RATIO))
    if absurd.size:
        i = int(absurd[0])
        raise ValueError(
            f"row {i + 1}: latency_s = {table.latency[i]:g}: at the data sheet's peaks it is {floor[i]:.3g} s "
            f"({len(absurd)} rows are {LEAST_RATIO:g} times that or less, or {GREATEST_RATIO:g} times or more); "
            f"another unit, device or model?"
        )


def _hybrid_costs(table: CalibrationTable, fitted: bool) -> Floats:
    return _HYBRID_COSTS if fitted and (table.kind == "hybrid").any() else np.zeros(1)


def _linear_layers(tokens: Floats, ridge: float) -> Floats:
    """What t0, s_lo and s_hi are multiplied by, (num_rows, 3)."""
    return np.column_stack([np.ones(len(tokens)), np.minimum(tokens, ridge), np.maximum(tokens - ridge, 0.0)])


def _attention(table: CalibrationTable, hybrid_cost: float) -> Floats:
    """What k, kp and a are multiplied by, (num_rows, 3)."""
    read = table.kv_tokens * np.where(table.prefill_tokens > 0, 1.0 + hybrid_cost, 1.0)
    return np.column_stack([read, table.prefill_context, table.attention_pairs])


def _importance(table: CalibrationTable) -> Floats:
    """1 + r², r the rank of a row's latency among those of its kind, 0 to 1, (num_rows,)."""
    rank = np.empty(len(table))
    for kind in np.unique(table.kind):
        rows = table.kind == kind
        rank[rows] = rankdata(table.latency[rows]) / rows.sum()
    importance: Floats = 1.0 + rank**2
    return importance
