"""Makes a profile from a calibration table, and writes profiles as YAML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml

from hardware_profiles.coefficients import Coefficients, Frozen, Knots
from hardware_profiles.datasheets import (
    Device,
    ModelShape,
    PhysicalBounds,
    efficiencies,
    kv_capacity,
    physical_bounds,
)
from hardware_profiles.fit import MIN_ROWS_FOR_KNOTS, check_plausible, fit, fit_table
from hardware_profiles.profile import Kind, Profile, Source
from hardware_profiles.table_latency import TableLatency
from hardware_profiles.tables import CalibrationTable
from hardware_profiles.validation import NUM_FOLDS, cross_validate
from simulator.latency import PiecewiseLinearLatency

DIGITS = 6
"""Significant digits of a coefficient in a file."""
NEAR_BOUND = 0.999
"""Share of a physical bound from which on a coefficient counts as sitting on it."""


class TableSource(Frozen):
    """What a source of calibration tables is, and what its rows do and do not hold."""

    kind: Kind
    origin: str
    licence: str
    hybrid: Literal["measured", "composed", "none"]
    """How iterations that prefill and decode at once came about."""
    overhead: str
    """Preset of engine overhead that suits it: `none` where CPU time is in the latencies already."""
    overhead_below_tp: int | None = None
    """TP degree from which on no overhead suits it: its latencies hold launch times of every GPU."""
    made: date | None = None
    """Day of the measurement, if it was ours; a profile made of it keeps that date."""
    notes: tuple[str, ...] = ()

    def overhead_at(self, tp: int) -> str:
        """Preset that suits a profile of `tp` GPUs."""
        return "none" if self.overhead_below_tp is not None and tp >= self.overhead_below_tp else self.overhead


def profile_from_table(
    table: CalibrationTable, device: Device, model: ModelShape, tp: int, name: str, source: TableSource, made: date
) -> Profile:
    """The profile fitted to `table`: both forms with their errors, efficiencies and warnings.

    Raises ValueError as `fit`, `check_plausible` and `kv_capacity` do.
    """
    bounds = physical_bounds(device, model, tp)
    check_plausible(table, bounds)
    hybrid_cost = source.hybrid == "measured"
    latency = rounded(fit(table, bounds, hybrid_cost))
    dense = len(table) * (1 - 1 / NUM_FOLDS) >= MIN_ROWS_FOR_KNOTS
    return Profile(
        name=name,
        kind=source.kind,
        device=device.name,
        model=model.name,
        tp=tp,
        coefficients=Coefficients.of(latency),
        kv_capacity=kv_capacity(device, model, tp),
        efficiencies=efficiencies(latency, bounds),
        errors=cross_validate(table, lambda rows: fit(rows, bounds, hybrid_cost)),
        table=Knots.of(rounded_table(fit_table(table, bounds, hybrid_cost))) if dense else None,
        table_errors=cross_validate(table, lambda rows: fit_table(rows, bounds, hybrid_cost)) if dense else None,
        overhead=source.overhead_at(tp),
        calibrated_range=table.range(),
        source=Source(origin=source.origin, licence=source.licence, table=table.source, num_rows=len(table), date=made),
        warnings=(*_warnings(source, source.overhead_at(tp)), *source.notes, *_weakly_identified(latency, bounds)),
    )


def _warnings(source: TableSource, overhead: str) -> list[str]:
    warnings = []
    if source.kind == "composed":
        warnings.append("composed: summed from times of operators or layers, not measured as whole iterations")
    if overhead != "none":
        warnings.append(f"no CPU time of the engine: combine with an overhead preset, such as {overhead}")
    if source.hybrid == "composed":
        warnings.append("no measured hybrid rows: m = 0 is an assumption (0.6 to 2.5 where it was measured)")
    if source.hybrid == "none":
        warnings.append("no hybrid rows: iterations that prefill and decode at once are extrapolated, m = 0 assumed")
    return warnings


def _weakly_identified(latency: PiecewiseLinearLatency, bounds: PhysicalBounds) -> list[str]:
    held = [name for name, bound in bounds._asdict().items() if bound >= NEAR_BOUND * getattr(latency, name)]
    free = [name for name in ("s_lo", "kp") if getattr(latency, name) == 0.0]
    warnings = []
    if held:
        warnings.append(f"on the physical bound, not identified by the rows: {', '.join(held)}")
    if free:
        warnings.append(f"0, not identified by the rows: {', '.join(free)}")
    return warnings


def rounded(latency: PiecewiseLinearLatency) -> PiecewiseLinearLatency:
    """The coefficients at `DIGITS` significant digits, rounded up so that none falls below its bound."""
    return PiecewiseLinearLatency(**{name: _round_up(value) for name, value in latency})


def rounded_table(latency: TableLatency) -> TableLatency:
    """The same at `DIGITS` significant digits, rounded up."""
    seconds = tuple(_round_up(value) for value in latency.seconds)
    attention = {name: _round_up(getattr(latency, name)) for name in ("k", "kp", "a", "m")}
    return TableLatency(tokens=latency.tokens, seconds=seconds, **attention)


def _round_up(value: float) -> float:
    if value == 0.0:
        return 0.0
    step = math.floor(math.log10(value)) - DIGITS + 1
    return float(f"{math.ceil(value / 10.0**step * (1 - 1e-12))}e{step}")


class _Dumper(yaml.SafeDumper):
    """Numbers with their unit and ranges on one line, everything else on lines of their own."""

    def mapping(self, data: Mapping[str, Any]) -> yaml.MappingNode:
        """A mapping, on one line if it holds nothing but numbers and their unit."""
        flow = all(isinstance(value, float) or key == "unit" for key, value in data.items())
        return self.represent_mapping("tag:yaml.org,2002:map", data, flow_style=flow)

    def sequence(self, data: Iterable[Any]) -> yaml.SequenceNode:
        """A sequence, on one line if it holds nothing but numbers."""
        flow = all(isinstance(value, int | float) for value in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(dict, _Dumper.mapping)
_Dumper.add_representer(list, _Dumper.sequence)


def write_record(record: Frozen, path: Path) -> None:
    """Writes the YAML file of a profile or preset that the loader reads; OSError if it cannot."""
    content = record.model_dump(mode="json", exclude_none=True)
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
