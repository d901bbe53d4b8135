"""Study files: reading them, and saying in one line what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from experiments.study import MixedWorkload, StudySpec, SyntheticWorkload, TraceWorkload
from hardware_profiles.safe_yaml import parse_yaml, printable

_LONGEST_MESSAGE = 2_000
"""Characters; an unknown name is answered with all that there are."""


def default_study_fields() -> dict[str, Any]:
    """The fields of the built-in study, not yet validated."""
    return _parse(files("experiments").joinpath("studies/default.yaml").read_text(), "the built-in study")


def read_fields(path: str | Path) -> dict[str, Any]:
    """The fields of a study file, not yet validated. Raises ValueError or OSError naming the file and line."""
    try:
        return _parse(Path(path).read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None


def make_study(
    fields: Mapping[str, Any],
    source: str,
    options: Mapping[str, str] | None = None,
    places: Mapping[str, str] | None = None,
) -> StudySpec:
    """The study of these fields.

    Raises ValueError of one line that names `source`, the field and its value; where the field came from an
    option (`options`: field → option), that instead of the source. places: where a field stands in the source, if
    not under its own name.
    """
    try:
        return StudySpec.model_validate(dict(fields))
    except ValidationError as error:
        problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        words = _one_line(problems[0], source, options or {}, places or {})
        raise ValueError(printable(words, _LONGEST_MESSAGE)) from None


def load_study(path: str | Path) -> StudySpec:
    """The study in a YAML file. Raises ValueError or OSError of one line naming the file, field and value."""
    return make_study(read_fields(path), str(path))


def _parse(text: str, source: str) -> dict[str, Any]:
    fields = parse_yaml(text, source)
    if not isinstance(fields, dict):
        raise ValueError(f"{source}: a study is a mapping of fields, got {type(fields).__name__}")
    return fields


def _known_fields(loc: tuple[int | str, ...]) -> Iterable[str]:
    """The fields that there are where an unknown one was found."""
    workloads: dict[int | str, type[BaseModel]] = {
        "trace": TraceWorkload,
        "lengths": SyntheticWorkload,
        "classes": MixedWorkload,
    }
    model = workloads[loc[1]] if loc[0] == "workload" and len(loc) == 3 else StudySpec
    return model.model_fields


def _one_line(error: ErrorDetails, source: str, options: Mapping[str, str], places: Mapping[str, str]) -> str:
    place = [str(part) for part in error["loc"]]
    if place[:1] == ["workload"]:
        del place[1:2]
    place = place[: 4 if place[1:2] == ["classes"] else 2]
    field = ".".join(place)
    in_source = ".".join([places.get(part, part) for part in place[:1]] + place[1:])
    head = next((options[key] for key in (field, *place[:1]) if key in options), None)
    head = head or ": ".join(filter(None, (source, in_source)))
    if error["type"] == "extra_forbidden":
        near = get_close_matches(place[-1], _known_fields(error["loc"]), n=1)
        return f"{head}: unknown field" + (f", did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{head}: is missing"
    problem = (
        error["msg"]
        .removeprefix("Value error, ")
        .removeprefix("Input ")
        .replace("valid tuple", "list")
        .partition(", unable")[0]
    )
    if error["type"] == "value_error":
        return f"{head}: {problem}"
    return f"{head}: {problem[:1].lower()}{problem[1:]}, got {error['input']!r}"
