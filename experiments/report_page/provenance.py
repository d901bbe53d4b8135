"""Where a result comes from, and what it takes to get it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from experiments.folders import META
from experiments.study import StudySpec, TraceWorkload


class Provenance(NamedTuple):
    """What made a folder, date, versions and machine in words, and the name of a demonstration."""

    made_by: str
    facts: tuple[tuple[str, str], ...]
    demo: str = ""


def read_provenance(folder: Path) -> Provenance:
    """What an output folder says of its making. Raises ValueError of one line if `folder` is none."""
    path = folder / META
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'is a file, not an output folder' if folder.exists() else 'no such folder'}")
    if not path.is_file():
        raise ValueError(f"{folder}: is not an output folder, it holds no {META}")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        return Provenance(str(meta["made_by"]), tuple(_facts(meta)), str(meta.get("demo", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: does not say what made the folder, and when: {error!r}") from None


def _facts(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    made = datetime.fromisoformat(meta["date"]).astimezone(UTC)
    facts = [("Made", f"{made:%Y-%m-%d %H:%M} UTC"), ("smoothserve", str(meta["version"]))]
    facts += [(words, str(meta[key])) for key, words in (("python", "Python"), ("platform", "Machine")) if key in meta]
    if "libraries" in meta:
        facts.append(("Libraries", ", ".join(f"{name} {version}" for name, version in meta["libraries"].items())))
    return facts


def needs(study: StudySpec) -> tuple[str, ...]:
    """The files that a study reads besides its own, in words."""
    found = []
    if isinstance(study.workload, TraceWorkload):
        pin = f" (SHA-256 {study.workload.sha256})" if study.workload.sha256 else ""
        found.append(f"the trace {study.workload.trace}{pin}")
    if profile := re.match(r".*\.ya?ml", study.profile):
        found.append(f"the hardware profile {profile[0]}")
    return tuple(found)
