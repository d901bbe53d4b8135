"""The output folder of a demonstration: what is in it, and when an earlier one may be replaced."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.demos.figures import draw_figures
from experiments.demos.outcome import Outcome
from experiments.demos.words import notes, verdict
from experiments.folders import META, foreign_in

if TYPE_CHECKING:
    import pandas as pd

_MADE_BY = "smoothserve demo"
_FILES = {"verdict.txt", "differences.csv", "differences.parquet", "runs.parquet"}
_FIGURES = {"hand.png", "runs.png", "patience.png"}
_STUDIES = {"study.yaml", "stable.yaml", "overload.yaml"}


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write everything about the outcome to `folder`, which exists.

    hand.png, runs.png, patience.png (where requests are dropped). differences.csv, differences.parquet: a row per
    part and measure. runs.parquet: a row per part, measure and seed. verdict.txt: in words. A YAML file per part:
    the study behind it. meta.json: date, versions and machine.
    """
    draw_figures(folder, outcome)
    table = difference_frame(outcome)
    table.to_csv(folder / "differences.csv", index=False, lineterminator="\n")
    table.to_parquet(folder / "differences.parquet", index=False)
    run_frame(outcome).to_parquet(folder / "runs.parquet", index=False)
    (folder / "verdict.txt").write_text("\n".join([verdict(outcome), *notes(outcome)]) + "\n", encoding="utf-8")
    for part in outcome.parts:
        (folder / f"{part.part.name}.yaml").write_text(part.study.to_yaml(), encoding="utf-8")
    meta = {
        "made_by": _MADE_BY,
        "demo": outcome.demo.name,
        "version": version("smoothserve"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def not_ours(folder: Path) -> str | None:
    """Why `folder` is not an earlier output of a demonstration that may be replaced whole; None if it is one."""
    return foreign_in(folder, _MADE_BY, _FILES | _FIGURES | _STUDIES, {})


def difference_frame(outcome: Outcome) -> pd.DataFrame:
    """A row per part and measure: means of the treated runs (a) and the others (b), and their paired difference."""
    import pandas as pd

    return pd.DataFrame.from_records(
        [
            {
                "demo": outcome.demo.name,
                "part": part.part.name,
                "metric": finding.measure.name,
                "a": finding.claim.mean_a,
                "b": finding.claim.mean_b,
                "difference": finding.claim.difference.mean,
                "half_width": finding.claim.difference.half_width,
                "num_pairs": len(finding.a),
                "expected": finding.expected,
                "holds": finding.holds,
            }
            for part in outcome.parts
            for finding in part.findings
        ]
    )


def run_frame(outcome: Outcome) -> pd.DataFrame:
    """A row per part, measure and seed: its value in the treated run (a) and in the other (b)."""
    import pandas as pd

    return pd.DataFrame.from_records(
        [
            {"part": part.part.name, "metric": finding.measure.name, "seed": seed, "a": a, "b": b}
            for part in outcome.parts
            for finding in part.findings
            for seed, a, b in zip(part.study.seeds, finding.a.tolist(), finding.b.tolist(), strict=True)
        ]
    )
