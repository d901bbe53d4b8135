"""Whole batches of LLM-Inference-Bench, each with what the engine makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from experiments.trust.validation_case import Case, Quantity, Role
from experiments.trust.validation_runs import end_to_end, estimated_profile, shipped_profile
from hardware_profiles import Profile
from hardware_profiles.build import FRAMEWORKS, WHOLE_BATCHES
from hardware_profiles.datasheets import load_device, load_model, physical_bounds
from hardware_profiles.loader import load_overhead
from hardware_profiles.overhead_fit import WholeBatch, read_whole_batches, usable

PRESETS = {framework: preset for preset, framework in FRAMEWORKS.items()}
Pair = tuple[str, int, str]


class Batches(NamedTuple):
    """Every row of the table: simulated, or why not."""

    cases: list[Case]
    impossible: list[WholeBatch]
    """Faster than their tokens can be generated one by one: requests stopped before their length."""
    uncovered: list[WholeBatch]
    """Of devices or models without data sheets."""


def whole_batches(folder: Path) -> Batches:
    """The whole batches in a folder of calibration tables. Raises OSError or ValueError for a table that is not one."""
    rows = read_whole_batches(folder / WHOLE_BATCHES)
    fitted = {framework: fitted_pairs(rows, framework) for framework in PRESETS}
    cases, impossible, uncovered = [], [], []
    for row in rows:
        profile = _profile(*row.pair)
        if profile is None:
            uncovered.append(row)
        elif row.latency < row.length * _weights_read(*row.pair):
            impossible.append(row)
        else:
            cases.append(_case(row, profile, row.pair in fitted[row.framework]))
    return Batches(cases, impossible, uncovered)


def fitted_pairs(rows: Sequence[WholeBatch], framework: str) -> tuple[Pair, ...]:
    """Device, TP degree and model of the batches that the preset of a framework was fitted on (`overhead_fit`)."""
    mine = [row for row in rows if row.framework == framework]
    kept = usable(mine, dict(_without_cpu_time(mine)))
    return tuple(sorted({row.pair for row in kept})[::2])


def _without_cpu_time(rows: Sequence[WholeBatch]) -> Iterator[tuple[Pair, Profile]]:
    for pair in {row.pair for row in rows}:
        device, tp, model = pair
        profile = shipped_profile(device, model, tp)
        if profile is not None and profile.overhead != "none":
            yield pair, profile


@cache
def _profile(device: str, tp: int, model: str) -> Profile | None:
    return shipped_profile(device, model, tp) or estimated_profile(device, model, tp)


@cache
def _weights_read(device: str, tp: int, model: str) -> float:
    return physical_bounds(load_device(device), load_model(model), tp).t0


def _case(row: WholeBatch, profile: Profile, fitted: bool) -> Case:
    if profile.overhead != "none":
        profile = profile.with_overhead(load_overhead(PRESETS[row.framework]))
    simulated = end_to_end(profile, row.batch, row.length, row.length)
    role = _role(row, profile, fitted)
    year = PRESETS[row.framework][-4:]
    engine, name = f"{row.framework} {year}", f"{row.device}/{row.model}/tp{row.tp}"
    return Case(Quantity.E2E, role, engine, name, row.batch, row.length, row.latency, simulated)


def _role(row: WholeBatch, profile: Profile, fitted: bool) -> Role:
    if profile.kind == "estimated":
        return Role.ESTIMATE
    if 2 * row.batch * row.length > profile.kv_capacity_tokens:
        return Role.OVERFULL
    if profile.overhead == "none":
        return Role.CHOSEN
    return Role.FITTED if fitted else Role.UNSEEN


def by_pair(cases: Sequence[Case]) -> Mapping[tuple[str, str, Role], list[Case]]:
    """The cases by profile, engine and role, sorted."""
    groups: dict[tuple[str, str, Role], list[Case]] = {}
    for case in sorted(cases, key=lambda case: (case.profile, case.engine, list(Role).index(case.role))):
        groups.setdefault((case.profile, case.engine, case.role), []).append(case)
    return groups
