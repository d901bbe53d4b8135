"""The output folder of a study: what is in it, and when an earlier one may be replaced."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.aggregate import Row, class_frame, run_frame, summary_frame
from experiments.distributions import EDGES
from experiments.folders import META, foreign_in
from experiments.study import StudySpec

if TYPE_CHECKING:
    import pandas as pd

_MADE_BY = "smoothserve compare"
_FILES = {
    "summary.csv",
    "summary.parquet",
    "runs.parquet",
    "latencies.parquet",
    "study.yaml",
    "by_class.csv",
    "by_class.parquet",
}
_FOLDERS = {"figures": ".png", "requests": ".parquet"}
_LIBRARIES = ("numpy", "pandas", "pyarrow", "scipy", "simpy", "matplotlib")


def write_results(folder: Path, study: StudySpec, table: Sequence[Row]) -> None:
    """Write everything but the figures and the per-request tables to `folder`, which exists.

    summary.csv, summary.parquet: a row per policy and rate. by_class.csv, by_class.parquet: a row per policy, rate
    and class, where requests are of several. runs.parquet: a row per run.
    latencies.parquet: counts of TTFT and TBT in bins. study.yaml: the study, every default spelled out.
    meta.json: date, versions and machine; the only file that two runs of one study do not share.
    """
    _write_table(summary_frame(table), folder / "summary")
    if any(row.classes for row in table):
        _write_table(class_frame(table), folder / "by_class")
    run_frame([run for row in table for run in row.runs]).to_parquet(folder / "runs.parquet", index=False)
    _latency_frame(table).to_parquet(folder / "latencies.parquet", index=False)
    (folder / "study.yaml").write_text(study.to_yaml(), encoding="utf-8")
    (folder / META).write_text(provenance(_MADE_BY), encoding="utf-8")


def provenance(made_by: str) -> str:
    """What meta.json says, as JSON: who made the folder, when, and with which versions on which machine."""
    meta = {
        "made_by": made_by,
        "version": version("smoothserve"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    return json.dumps(meta, indent=2) + "\n"


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n")
    table.to_parquet(path.with_suffix(".parquet"), index=False)


def not_ours(folder: Path) -> str | None:
    """Why `folder` is not an earlier result that may be replaced whole; None if it is one."""
    return foreign_in(folder, _MADE_BY, _FILES, _FOLDERS)


def _latency_frame(table: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for row in table:
        for metric in ("ttft", "tbt"):
            counts = row.latencies(metric)
            some = counts > 0
            columns = {"policy": row.policy, "rate": row.rate, "metric": metric}
            parts.append(pd.DataFrame(columns | {"at_most": EDGES[some], "count": counts[some]}))
    return pd.concat(parts, ignore_index=True)
