"""What a sweep writes beside its cells: one table of all of them, and their means over seeds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.aggregate import Row, class_frame, run_frame, summary_frame
from experiments.folders import META
from experiments.results import provenance
from experiments.sweep.grid import GridSpec, Member
from experiments.sweep.store import MADE_BY, Store

if TYPE_CHECKING:
    import pandas as pd


def cell_table(tables: Sequence[tuple[Member, list[Row]]]) -> pd.DataFrame:
    """A row per cell: workload, profile, rate, policy and seed, in the order of the grid, and its summary."""
    return _joined([(member, run_frame([run for row in table for run in row.runs])) for member, table in tables])


def write_outputs(store: Store, grid: GridSpec, tables: Sequence[tuple[Member, list[Row]]]) -> None:
    """Write all files of the store that are not about one cell, each in one step.

    table.parquet: as `cell_table`. summary.csv, summary.parquet: a row per workload, profile, rate and policy, with
    means over seeds and their half-widths. by_class.csv, by_class.parquet: likewise for each class of requests,
    where there are several. sweep.yaml: the grid, every default spelled out. meta.json: date, versions and
    machine, the only file that two sweeps of one grid do not share.
    """
    store.write("table.parquet", _parquet(cell_table(tables)))
    frames = {"summary": summary_frame, "by_class": class_frame}
    for name, frame_of in frames.items():
        frame = _joined([(member, frame_of(table)) for member, table in tables])
        if len(frame):
            store.write(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
            store.write(f"{name}.parquet", _parquet(frame))
        else:
            store.remove(f"{name}.csv")
            store.remove(f"{name}.parquet")
    store.write("sweep.yaml", grid.to_yaml().encode())
    store.write(META, provenance(MADE_BY).encode())


def _joined(frames: Sequence[tuple[Member, pd.DataFrame]]) -> pd.DataFrame:
    import pandas as pd

    for member, frame in frames:
        frame.insert(0, "workload", member.workload)
        frame.insert(1, "profile", member.profile)
    return pd.concat([frame for _, frame in frames if len(frame)] or [pd.DataFrame()], ignore_index=True)


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    return sink.getvalue()
