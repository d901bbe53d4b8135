"""Profiles, devices and models by name, from the data that ships with the package or from a user's own YAML."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hardware_profiles.overhead import Overhead
from hardware_profiles.profile import Profile
from hardware_profiles.safe_yaml import parse_yaml, printable
from simulator.unknown_name import unknown_name

_LONGEST_NAME, _LONGEST_MESSAGE = 100, 1_000
"""Characters."""
_Record = TypeVar("_Record", bound=BaseModel)


def load_profile(name: str | Path) -> Profile:
    """The profile of that name, or the one in the YAML file at that path (a path ends in .yaml or .yml).

    Behind either, `+table` chooses the latency that is read from knots, and `+PRESET` adds the engine overhead of
    a preset: `a100-80gb/llama-3-8b/tp1+table+vllm-2024`. Raises ValueError for an unknown name (with near matches
    or the list) and for a malformed file (with file and field), OSError for a file that cannot be read.
    """
    base, options = _split(str(name))
    profile = load_record("profiles", base, Profile, what="profile")
    for option in options:
        profile = profile.with_table() if option == "table" else profile.with_overhead(load_overhead(option))
    return profile


def _split(name: str) -> tuple[str, list[str]]:
    """Base and options of a name; a plus sign in the folders of a path belongs to the path."""
    start = name.rfind(".y") if ".yaml" in name or ".yml" in name else 0
    base, *options = name[start:].split("+")
    return name[:start] + base, options


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that ship with the package, sorted."""
    return record_names("profiles")


def load_overhead(name: str) -> Overhead:
    """The preset of engine overhead of that name; raises ValueError for an unknown one."""
    return load_record("overheads", name, Overhead, what="overhead preset")


def overhead_names() -> tuple[str, ...]:
    """Names of the presets of engine overhead, sorted."""
    return record_names("overheads")


def data_folder(kind: str) -> Traversable:
    """Folder of the shipped records of one kind: profiles, devices, models, overheads."""
    return files("hardware_profiles") / "data" / kind


@cache
def record_names(kind: str) -> tuple[str, ...]:
    """Names of the shipped records of one kind, sorted: their paths below the folder, without the ending."""
    return tuple(sorted(_walk(data_folder(kind), "")))


def _walk(folder: Traversable, prefix: str) -> list[str]:
    names: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            names += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            names.append(prefix + entry.name.removesuffix(".yaml"))
    return names


def load_record(kind: str, name: str, record: type[_Record], what: str) -> _Record:
    """The shipped record of that name, or the one in the YAML file at that path (it ends in .yaml or .yml).

    Raises ValueError for an unknown name, with near matches or the list, and as `read_record` does.
    """
    if name.endswith((".yaml", ".yml")):
        return read_record(Path(name), record)
    parts = f"{name}.yaml".split("/")
    path = data_folder(kind).joinpath(*parts)
    if len(name) > _LONGEST_NAME or any(part in ("", "..", ".yaml") for part in parts) or not path.is_file():
        raise ValueError(unknown_name(what, printable(name, _LONGEST_NAME), record_names(kind)))
    return read_record(path, record)


def read_record(path: Traversable, record: type[_Record]) -> _Record:
    """The record in a YAML file.

    Raises ValueError (one line, with file and field) if it is not safe YAML or not what `record` asks for.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    try:
        return record.model_validate(parse_yaml(text, str(path), "valid YAML"))
    except ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: field, value and reason."""
    problems = error.errors(include_url=False)
    field = ".".join(str(part) for part in problems[0]["loc"]) or "document"
    value = repr(problems[0]["input"])
    shown = value if len(value) <= 60 else value[:57] + "..."
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return printable(f"{field} = {shown}: {problems[0]['msg']}{more}", _LONGEST_MESSAGE)
