"""A cell's result as a Parquet file of one row, whose bytes follow from the result alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.cells import Cell, CellResult
from experiments.distributions import EDGES, Counts

if TYPE_CHECKING:
    from collections.abc import Mapping


METRICS = ("ttft", "tbt")
LABELS = ("workload", "profile")


def _list_of(kind: pa.DataType) -> pa.DataType:
    """A list whose items are called as Parquet calls them, so that a table that was read is written as it was."""
    return pa.list_(pa.field("element", kind))


_HEAD = {**dict.fromkeys((*LABELS, "policy"), pa.string()), "rate": pa.float64(), "seed": pa.int64()}
_BINS = {f"{metric}_at_most": _list_of(pa.float64()) for metric in METRICS}
_COUNTS = {f"{metric}_count": _list_of(pa.int64()) for metric in METRICS}
_CLASS = pa.struct({"request_class": pa.string(), "metric": pa.string(), "value": pa.float64()})
_TAIL = {**_BINS, **_COUNTS, "classes": _list_of(_CLASS)}


def to_table(result: CellResult, labels: Mapping[str, str]) -> pa.Table:
    """One row: workload, profile, policy, rate, seed, the summary, latency counts, and metrics by class.

    labels: the names of workload and profile. `ttft_at_most`, seconds, and `ttft_count` are lists of the bins of
    `distributions.EDGES` that are not empty; likewise for tbt. `classes` is a list of (request_class, metric,
    value), empty if all requests are of one class. So all cells have the same columns.
    """
    cell = result.cell
    row: dict[str, Any] = {**labels, "policy": cell.policy, "rate": result.rate, "seed": cell.seed, **result.values}
    for metric in METRICS:
        counts = result.latencies[metric]
        row[f"{metric}_at_most"] = EDGES[counts > 0].tolist()
        row[f"{metric}_count"] = counts[counts > 0].tolist()
    row["classes"] = [
        {"request_class": name, "metric": metric, "value": value}
        for name, values in result.classes.items()
        for metric, value in values.items()
    ]
    types = _HEAD | dict.fromkeys(result.values, pa.float64()) | _TAIL
    return pa.Table.from_pylist([row], schema=pa.schema(types))


def from_table(table: pa.Table, cell: Cell) -> CellResult:
    """The result of `cell` that `to_table` made a row of."""
    row = table.to_pylist()[0]
    values = {name: row[name] for name in table.column_names if name not in _HEAD and name not in _TAIL}
    latencies = {metric: _counts(row[f"{metric}_at_most"], row[f"{metric}_count"]) for metric in METRICS}
    classes: dict[str, dict[str, float]] = {}
    for entry in row["classes"]:
        classes.setdefault(entry["request_class"], {})[entry["metric"]] = entry["value"]
    return CellResult(cell, row["rate"], values, latencies, classes)


def to_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file: no dates, no names of machines."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_statistics=False)
    return bytes(sink.getvalue())


def from_bytes(data: bytes) -> pa.Table:
    """The table in a Parquet file."""
    return pq.read_table(pa.BufferReader(data))


def labelled(table: pa.Table, labels: Mapping[str, str]) -> pa.Table:
    """The table with the names of workload and profile in its first columns, whether or not it had such columns."""
    rest = table.drop_columns([name for name in LABELS if name in table.column_names])
    for i, name in enumerate(LABELS):
        rest = rest.add_column(i, name, pa.array([labels[name]] * table.num_rows, pa.string()))
    return rest


def _counts(at_most: list[float], counts: list[int]) -> Counts:
    out: Counts = np.zeros(len(EDGES), dtype=np.int64)
    out[np.searchsorted(EDGES, at_most)] = counts
    return out
