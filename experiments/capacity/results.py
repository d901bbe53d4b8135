"""The output folder of `smoothserve capacity`: what is in it, and when an earlier one may be replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.capacity.rows import CapacityRow, capacity_frame, evaluation_frame
from experiments.folders import META, foreign_in
from experiments.results import provenance
from experiments.study import StudySpec

_MADE_BY = "smoothserve capacity"
_FILES = {"capacity.csv", "capacity.parquet", "evaluations.parquet", "study.yaml", "search.yaml"}
_FOLDERS = {"figures": ".png"}


def write_capacity(folder: Path, study: StudySpec, search: Mapping[str, Any], table: Sequence[CapacityRow]) -> None:
    """Write everything but the figure to `folder`, which exists.

    capacity.csv, capacity.parquet: a row per condition, profile and policy. evaluations.parquet: a row per condition
    and run. study.yaml: the study, of which rates and profile play no part. search.yaml: conditions, profiles, prices
    and settings. meta.json: date, versions and machine; the only file that two runs of one search do not share.
    """
    frame = capacity_frame(table)
    frame.to_csv(folder / "capacity.csv", index=False, lineterminator="\n")
    frame.to_parquet(folder / "capacity.parquet", index=False)
    evaluation_frame(table).to_parquet(folder / "evaluations.parquet", index=False)
    (folder / "study.yaml").write_text(study.to_yaml(), encoding="utf-8")
    (folder / "search.yaml").write_text(yaml.safe_dump(dict(search), sort_keys=False), encoding="utf-8")
    (folder / META).write_text(provenance(_MADE_BY), encoding="utf-8")


def not_capacity(folder: Path) -> str | None:
    """Why `folder` is not an earlier result that may be replaced whole; None if it is one."""
    return foreign_in(folder, _MADE_BY, _FILES, _FOLDERS)
