"""A grid: studies of several workloads on several profiles that share everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.cells import check_names, pinned
from experiments.study import MixedWorkload, StudySpec, TraceWorkload
from experiments.study_files import make_study, read_fields
from hardware_profiles.safe_yaml import printable

MAX_STUDIES = 5_000


class Member(NamedTuple):
    """One study of a grid, with the names of its workload and of its profile."""

    workload: str
    profile: str
    study: StudySpec


class GridSpec(BaseModel):
    """Workloads by name, profiles, and a study for each pair of them: for each workload, all its profiles in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    workloads: tuple[str, ...] = Field(min_length=1)
    profiles: tuple[str, ...] = Field(min_length=1)
    members: tuple[StudySpec, ...]

    @model_validator(mode="after")
    def _a_study_for_each_pair(self) -> Self:
        if len(self.members) != len(self.workloads) * len(self.profiles):
            raise ValueError(f"{len(self.workloads)} × {len(self.profiles)} studies, got {len(self.members)}")
        return self

    def studies(self) -> list[Member]:
        """Every study, called "grid/workload/profile"."""
        pairs = [(workload, profile) for workload in self.workloads for profile in self.profiles]
        return [Member(*pair, study) for pair, study in zip(pairs, self.members, strict=True)]

    def to_yaml(self) -> str:
        """The grid with every default spelled out, which `load_grid` reads back."""
        fields = self.members[0].model_dump(mode="json") | {"name": self.name}
        firsts = [member for member in self.studies() if member.profile == self.profiles[0]]
        workloads = {member.workload: member.study.workload.model_dump(mode="json") for member in firsts}
        plural = {"workload": ("workloads", workloads), "profile": ("profiles", list(self.profiles))}
        fields = dict(plural.get(name, (name, value)) for name, value in fields.items())
        return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)


def load_grid(path: str | Path) -> GridSpec:
    """The grid in a YAML file. Raises ValueError or OSError of one line naming the file, field and value."""
    return make_grid(read_fields(path), str(path))


def make_grid(fields: Mapping[str, Any], source: str) -> GridSpec:
    """The grid of these fields: those of a study, with `workloads` (name → workload) and `profiles` for several.

    The workload of a plain study is called by its length table, its trace or its classes. Raises ValueError of one
    line that names `source`, the field and its value.
    """
    shared = {"name": "sweep", **fields}
    loads = _choices(shared, source, "workload", "workloads", dict)
    profiles = _choices(shared, source, "profile", "profiles", list)
    if len(loads) * len(profiles) > MAX_STUDIES:
        raise ValueError(f"{source}: {len(loads)} workloads on {len(profiles)} profiles: at most {MAX_STUDIES} pairs")
    studies = [
        make_study({**shared, **load.field, **profile.field}, source, places=load.place | profile.place)
        for load in loads
        for profile in profiles
    ]
    on = [study.profile for study in studies[: len(profiles)]]
    for i, profile in enumerate(on):
        if profile in on[:i]:
            raise ValueError(f"{source}: profiles: {printable(profile)} is given twice")
    names = [load.name or _label(study) for load, study in zip(loads, studies[:: len(on)], strict=True)]
    members = [
        study.model_copy(update={"name": f"{study.name}/{names[i // len(on)]}/{study.profile}"})
        for i, study in enumerate(studies)
    ]
    return GridSpec(name=studies[0].name, workloads=tuple(names), profiles=tuple(on), members=tuple(members))


def check_grid(grid: GridSpec) -> None:
    """Raise ValueError or OSError, with one line, for a name or file that a study needs and does not exist."""
    for study in grid.members:
        check_names(study)


def pinned_grid(grid: GridSpec) -> GridSpec:
    """The grid with the hashes of its traces in it. Raises ValueError if it already holds another one."""
    return grid.model_copy(update={"members": tuple(pinned(study) for study in grid.members)})


class _Choice(NamedTuple):
    """A value of a field of studies, where it stands in the file, and its name if it has one."""

    field: dict[str, Any]
    place: dict[str, str]
    name: str = ""


def _choices(
    fields: dict[str, Any], source: str, one: str, many: str, kind: type[dict[str, Any]] | type[list[Any]]
) -> list[_Choice]:
    """What `fields`, from which `many` is taken, say of the field `one`, once or many times."""
    if many not in fields:
        return [_Choice({}, {})]
    if one in fields:
        raise ValueError(f"{source}: {one} and {many}: give one of them")
    values = fields.pop(many)
    if not isinstance(values, kind) or not values:
        what = "mapping of names" if kind is dict else "list"
        raise ValueError(f"{source}: {many}: should be a {what} with something in it, got {printable(repr(values))}")
    if isinstance(values, list):
        return [_Choice({one: value}, {one: f"{many}.{i}"}) for i, value in enumerate(values)]
    for name in values:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{source}: {many}: a name should be text, got {printable(repr(name))}")
    return [_Choice({one: value}, {one: f"{many}.{name}"}, name) for name, value in values.items()]


def _label(study: StudySpec) -> str:
    load = study.workload
    if isinstance(load, TraceWorkload):
        return Path(load.trace).stem
    return "+".join(each.name for each in load.classes) if isinstance(load, MixedWorkload) else load.lengths
