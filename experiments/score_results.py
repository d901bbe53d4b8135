"""The output folder of `smoothserve score`: what is in it, and when an earlier one may be replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.folders import META, foreign_in
from experiments.score_values import ScoredLog, knows_arrivals, token_times

if TYPE_CHECKING:
    import pandas as pd

_MADE_BY = "smoothserve score"
_FILES = {"scores.csv", "scores.parquet", "curves.parquet"}
_FOLDERS = {"figures": ".png", "requests": ".parquet"}


def write_scores(
    folder: Path,
    table: Sequence[ScoredLog],
    requests: Mapping[str, pd.DataFrame],
    curves: pd.DataFrame,
    settings: Mapping[str, Any],
) -> None:
    """Write everything but the figures to `folder`, which exists.

    scores.csv, scores.parquet: a row per log. requests/NAME.parquet: a row per request of a log, by its name.
    curves.parquet: smooth goodput against alpha and against reading speed. meta.json: date, version, settings and
    the notes of each log.
    """
    scores = score_frame(table)
    scores.to_csv(folder / "scores.csv", index=False, lineterminator="\n")
    scores.to_parquet(folder / "scores.parquet", index=False)
    curves.to_parquet(folder / "curves.parquet", index=False)
    (folder / "requests").mkdir()
    for name, frame in requests.items():
        frame.to_parquet(folder / "requests" / f"{name}.parquet", index=False)
    meta = {
        "made_by": _MADE_BY,
        "version": version("smoothserve"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "notes": {log.name: list(log.notes) for log in table},
        "refused": {log.name: list(log.refused) for log in table},
    }
    (folder / META).write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def score_frame(table: Sequence[ScoredLog]) -> pd.DataFrame:
    """A row per log: where it is from, and all its scores; seconds unless the name says otherwise."""
    import pandas as pd

    heads = [
        {
            "name": log.name,
            "file": log.file,
            "run": log.run,
            "format": log.bench.format,
            "token_times": token_times(log.bench),
            "arrivals": "known" if knows_arrivals(log.bench) else "unknown",
        }
        for log in table
    ]
    return pd.DataFrame.from_records([head | log.values for head, log in zip(heads, table, strict=True)])


def not_scores(folder: Path) -> str | None:
    """Why `folder` is not an earlier result of scoring that may be replaced whole; None if it is one."""
    return foreign_in(folder, _MADE_BY, _FILES, _FOLDERS)
