"""Recorded workloads: one function reads a trace in any format that is registered here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from simulator.unknown_name import unknown_name
from simulator.workload.arrivals import Arrivals
from simulator.workload.azure import AZURE
from simulator.workload.bailian import BAILIAN
from simulator.workload.burstgpt import BURSTGPT
from simulator.workload.csv_table import read_csv, read_header
from simulator.workload.jsonl_table import read_jsonl, read_keys
from simulator.workload.mooncake import MOONCAKE
from simulator.workload.quantised import quantum, spread_times
from simulator.workload.trace_format import TraceFormat, TraceRequests
from simulator.workload.trace_table import TraceError, TraceFile, shown
from simulator.workload.transform import limit as first_requests
from simulator.workload.vidur import VIDUR
from simulator.workload.workload import Floats, Ints, Workload

FORMATS: Mapping[str, TraceFormat] = {
    trace_format.name: trace_format for trace_format in (AZURE, MOONCAKE, VIDUR, BURSTGPT, BAILIAN)
}
"""Every trace format, by name. Where two fit a file equally well, the first one is meant."""


def read_trace(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    spread: float | None = None,
    arrivals: Arrivals | None = None,
) -> Workload:
    """The requests of a trace in order of arrival, the first at time 0.

    format: a name in `FORMATS`; None tells it from the names of the columns.
    spread: timestamps are spread by U(0, spread) seconds; None takes the log's own tick if it has one of
        ≥ 1 s (`quantised.quantum`), else 0. `seed` is for this and for `arrivals`.
    arrivals: times to give to the rows, in the order of the file, instead of those in it; the only way to
        replay a file of lengths.
    limit: keep the first so many requests.

    `source_row` is the line in the file. `origin` has the file, its format, the first timestamp as recorded,
    how many rows were dropped (only BurstGPT's rows of zero tokens are) or out of order (they are sorted,
    stably), and the spread.

    Raises TraceError, `path:line: what`, for a file that is missing or wrong; ValueError for an unknown
    format or a bad option.
    """
    if spread is not None and not 0 <= spread < math.inf:
        raise ValueError(f"spread must be finite and ≥ 0 s, not {spread} s")
    chosen = None if format is None else _by_name(format)
    file = TraceFile.load(path)
    chosen = chosen or _sniffed(file)
    table = (read_csv if chosen.syntax == "csv" else read_jsonl)(file, chosen.columns)
    requests = chosen.requests(table)
    if not len(requests.line):
        raise TraceError(f"{path}: no request in {file.num_lines} lines ({requests.rows_dropped} dropped)")
    origin: dict[str, Any] = {"file": str(path), "format": chosen.name, "rows_dropped": requests.rows_dropped}
    if arrivals is None:
        times, timing = _recorded_times(file, requests, spread, seed)
    else:
        times = arrivals.arrival_times(num_requests=len(requests.line), seed=seed)
        timing = {"arrivals": str(arrivals), "seed": seed}
    workload = _assembled(Path(path).stem, times, requests, {**origin, **timing})
    return workload if limit is None else first_requests(workload, limit)


def _by_name(name: str) -> TraceFormat:
    if name not in FORMATS:
        raise ValueError(unknown_name("trace format", name, FORMATS))
    return FORMATS[name]


def _sniffed(file: TraceFile) -> TraceFormat:
    """The format that shares most column names with the file."""
    syntax = "jsonl" if file.data.lstrip()[:1] in (b"{", b"[") else "csv"
    names = read_keys(file) if syntax == "jsonl" else read_header(file)
    candidates = [trace_format for trace_format in FORMATS.values() if trace_format.syntax == syntax]
    best = max(candidates, key=lambda candidate: candidate.overlap(names))
    if not best.overlap(names):
        first = file.data.split(b"\n", 1)[0].decode().strip()
        file.refuse(1, f"no known trace format ({', '.join(FORMATS)}): {shown(first, 80)}")
    return best


def _recorded_times(
    file: TraceFile, requests: TraceRequests, spread: float | None, seed: int
) -> tuple[Floats, dict[str, Any]]:
    """The file's own times from its first one on, in the order of its rows, and what to record about them."""
    if requests.time is None:
        raise TraceError(f"{file.path}:1: the file has lengths but no arrival times; give it arrivals")
    width = quantum(requests.time) if spread is None else spread
    timing: dict[str, Any] = {
        "first_timestamp": requests.first_timestamp,
        "rows_out_of_order": int((np.diff(requests.time) < 0).sum()),
        "spread": width,
    }
    if width:
        timing["seed"] = seed
    times = spread_times(requests.time, width, seed)
    return times - times.min(), timing


def _assembled(name: str, times: Floats, requests: TraceRequests, origin: dict[str, Any]) -> Workload:
    order = np.argsort(times, kind="stable")
    classes, class_names = _classes(requests.labels, len(times))
    return Workload(
        name=name,
        arrival=times[order],
        prompt_length=requests.prompt_length[order],
        output_length=requests.output_length[order],
        request_class=classes[order],
        class_names=class_names,
        source_row=requests.line[order],
        origin=origin,
    )


def _classes(labels: Sequence[str] | None, num_requests: int) -> tuple[Ints, tuple[str, ...]]:
    """Indices into the sorted names of the classes."""
    if labels is None:
        return np.zeros(num_requests, dtype=np.int64), ("default",)
    names = sorted(set(labels))
    index = {name: i for i, name in enumerate(names)}
    return np.fromiter((index[label] for label in labels), dtype=np.int64, count=num_requests), tuple(names)
