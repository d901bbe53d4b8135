"""Token logs on disk: a folder with one Parquet file per table, read back identically."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.folders import replacing
from experiments.log_checks import check_log
from experiments.parquet_files import in_one_line, numbers, read_parquet, texts, whole_numbers
from simulator.token_log import RequestEvents, Segments, StepRuns, TokenLog, TokenTimes

_HEADER = b"smoothserve.token_log"
_VERSION = 1
_COLUMNS = ("arrival", "prompt_length", "output_length", "status", "end", "request_class", "client")
_TIMES = {"arrival", "end", "head", "start", "step_time", "step_growth", "time"}
"""The columns that hold seconds; the others hold whole numbers."""
_TABLES = {"segments": Segments, "runs": StepRuns, "events": RequestEvents}
_RAGGED = ("measured", "delivered")
_LISTS = pa.large_list(pa.float64())
_FILES = {f"{table}.parquet" for table in ("requests", *_TABLES, *_RAGGED)}


class _Header(BaseModel):
    """What requests.parquet says of the log besides its columns."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int
    tables: list[Literal["segments", "runs", "events", "measured", "delivered"]]
    class_names: tuple[str, ...] = Field(strict=False)
    window: float
    until: float | None = Field(None, allow_inf_nan=False)
    total_blocks: int
    meta: dict[str, Any]
    counters: dict[str, float]


def save_log(log: TokenLog, folder: str | Path) -> None:
    """Write `log` so that `load_log` returns an equal one; an earlier log in `folder` is replaced whole.

    requests.parquet: a row per request, and in its schema metadata the rest of the log as JSON.
    segments, runs, events: the tables of the same name; measured, delivered: a list of times per request.
    A table that the log does not have has no file.

    Raises ValueError if `folder` holds anything else or `log.meta` is not plain JSON; OSError if it cannot be
    written.
    """
    requests = _request_table(log)
    with replacing(Path(folder), _objection) as target:
        pq.write_table(requests, target / "requests.parquet")
        for name in _TABLES:
            if (table := getattr(log, name)) is not None:
                columns = {f.name: getattr(table, f.name) for f in fields(table)}
                pq.write_table(pa.table(columns), target / f"{name}.parquet")
        for name in _RAGGED:
            if (ragged := getattr(log, name)) is not None:
                lists = pa.LargeListArray.from_arrays(ragged.offsets, ragged.times)
                pq.write_table(pa.table({"times": lists}), target / f"{name}.parquet")


def load_log(folder: str | Path) -> TokenLog:
    """The log that `save_log` wrote to `folder`.

    Raises ValueError naming the file if it is missing, damaged, not a token log's, or holds what no run can have.
    """
    folder = Path(folder)
    path = folder / "requests.parquet"
    requests = _read(path)
    header = _header(path, requests)
    columns: dict[str, Any] = _arrays(path, requests, _COLUMNS)
    for name in header.tables:
        columns[name] = _part(folder, name, requests.num_rows)
    log = TokenLog(
        reason=tuple(texts(path, requests, "reason")),
        class_names=header.class_names,
        window=header.window,
        until=header.until,
        total_blocks=header.total_blocks,
        meta=header.meta,
        counters=header.counters,
        **columns,
    )
    try:
        check_log(log)
    except ValueError as error:
        table, _, problem = str(error).partition(": ")
        raise ValueError(f"{folder / table}.parquet: {problem}") from None
    return log


def _request_table(log: TokenLog) -> pa.Table:
    table = pa.table({name: getattr(log, name) for name in _COLUMNS} | {"reason": pa.array(log.reason, pa.string())})
    header = {
        "version": _VERSION,
        "tables": [name for name in (*_TABLES, *_RAGGED) if getattr(log, name) is not None],
        "class_names": list(log.class_names),
        "window": log.window,
        "until": log.until,
        "total_blocks": log.total_blocks,
        "meta": dict(log.meta),
        "counters": {name: float(value) for name, value in log.counters.items()},
    }
    return table.replace_schema_metadata({_HEADER: _json(header, log)})


def _json(header: dict[str, Any], log: TokenLog) -> bytes:
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise ValueError(f"a token log's meta must be plain JSON: {error}") from None
    changed = [key for key, value in json.loads(text)["meta"].items() if log.meta.get(key) != value]
    if changed:
        raise ValueError(f"a token log's meta must survive JSON, {changed[0]} does not: {log.meta.get(changed[0])!r}")
    return text.encode()


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise ValueError(f"{path.parent}: not a token log, {path.name} is missing")
    return read_parquet(path)


def _header(path: Path, table: pa.Table) -> _Header:
    text = (table.schema.metadata or {}).get(_HEADER)
    if text is None:
        raise ValueError(f"{path}: not the requests of a token log")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is damaged: its header is not JSON: {error}") from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:
        raise ValueError(f"{path}: token log of version {_short(version)}, this reads version {_VERSION}")
    try:
        return _Header.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = _short(".".join(map(str, first["loc"])))
        raise ValueError(f"{path}: is damaged: header, {place}: {first['msg'][:100]}") from None


def _short(value: object) -> str:
    return in_one_line(str(value), 60)


def _arrays(path: Path, table: pa.Table, columns: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    return {name: (numbers if name in _TIMES else whole_numbers)(path, table, name) for name in columns}


def _part(folder: Path, name: str, num_requests: int) -> Segments | StepRuns | RequestEvents | TokenTimes:
    path = folder / f"{name}.parquet"
    table = _read(path)
    if name in _TABLES:
        kind: type[Any] = _TABLES[name]
        part: Segments | StepRuns | RequestEvents = kind(**_arrays(path, table, [f.name for f in fields(kind)]))
        return part
    if table.num_rows != num_requests:
        raise ValueError(f"{path}: {table.num_rows} rows for {num_requests} requests")
    if table.column_names != ["times"] or table.column(0).type not in (pa.list_(pa.float64()), _LISTS):
        raise ValueError(f"{path}: should have one column, times, of lists of numbers")
    lists = table.column("times").cast(_LISTS).combine_chunks()
    if lists.null_count or lists.values.null_count:
        raise ValueError(f"{path}: column times: has numbers missing")
    return TokenTimes(lists.values.to_numpy(), lists.offsets.to_numpy())


def _objection(folder: Path) -> str | None:
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _FILES)
    if foreign:
        return f"holds {foreign[0]}, which is no part of a token log"
    return None
