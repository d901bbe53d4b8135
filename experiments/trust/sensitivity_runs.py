"""The base studies and what every change makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.paper.make import shortened
from experiments.paper.runs import Runs
from experiments.paper.store import runs_of
from experiments.study import StudySpec
from experiments.study_files import load_study
from experiments.trust.sensitivity_changes import CHANGES, Change, changed
from experiments.trust.sensitivity_conclusions import MIXED, SURGE

_HOME = Path(__file__).parent
_QUICK_EVERY = 6


class Sensitivity(NamedTuple):
    """The runs of the base and of each change, by the name of the base study."""

    base: dict[str, Runs]
    changes: tuple[tuple[Change, dict[str, Runs]], ...]


def base_studies() -> dict[str, StudySpec]:
    """The studies that everything is compared with, by name."""
    return {name: load_study(_HOME / f"sensitivity_{name}.yaml") for name in (MIXED, SURGE)}


def run_all(folder: Path, *, quick: bool, jobs: int | None, quiet: bool) -> Sensitivity:
    """Run what the store in `folder` does not hold; changed profiles are written beside it.

    quick: two seeds of half a minute, and every sixth change.
    """
    studies, changes = base_studies(), CHANGES[::_QUICK_EVERY] if quick else CHANGES
    if quick:
        studies = {name: shortened(study) for name, study in studies.items()}
    every = dict(studies)
    names: list[tuple[Change, dict[str, str]]] = []
    for change in changes:
        own = {name: changed(study, change, folder / "profiles") for name, study in studies.items()}
        every |= {study.name: study for study in own.values()}
        names.append((change, {name: study.name for name, study in own.items()}))
    runs = runs_of(every, folder / "store", jobs=jobs, quiet=quiet)
    return Sensitivity({name: runs[name] for name in studies}, _grouped(names, runs))


def _grouped(
    names: Sequence[tuple[Change, dict[str, str]]], runs: dict[str, Runs]
) -> tuple[tuple[Change, dict[str, Runs]], ...]:
    return tuple((change, {name: runs[study] for name, study in own.items()}) for change, own in names)
