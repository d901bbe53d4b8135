"""Traces of one JSON object a line: Arrow reads them, and a slow reader finds the line that is wrong."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from simulator.workload.trace_table import DTYPES, Column, Kind, Table, TraceFile, array_of, shown

_NO_OBJECT = re.compile(rb"(?:\A|[\r\n])[^{\r\n]")
"""The start of a line that is no object: a block of the file that begins with `null` makes Arrow read through a null
pointer."""
_RANGE: dict[Kind, range] = {"count": range(-(2**63), 2**63), "number": range(-(10**308), 10**308)}


def read_keys(file: TraceFile) -> list[str]:
    """The keys of the first object. Raises TraceError if the first line that is not blank is none."""
    lines = file.data.split(b"\n")
    line = next(i for i, text in enumerate(lines, start=1) if text.strip())
    return list(_object(file, line, lines[line - 1]))


def read_jsonl(file: TraceFile, columns: Sequence[Column]) -> Table:
    """The keys asked for. Raises TraceError for a line that is no object, or a key missing or mistyped."""
    return _read_by_arrow(file, columns) or _read_by_line(file, columns)


def _read_by_arrow(file: TraceFile, columns: Sequence[Column]) -> Table | None:
    """The whole file at once; None if Arrow refuses it or would have to be told which line is which."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    if _NO_OBJECT.search(file.data):
        return None
    types = {"count": pa.int64(), "number": pa.float64(), "text": pa.string(), "list": pa.list_(pa.int64())}
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = arrow_json.read_json(io.BytesIO(file.data), parse_options=parse)
    except pa.ArrowInvalid:
        return None
    if table.num_rows != file.num_lines:
        return None
    if any(column.required and table[column.name].null_count for column in columns):
        return None
    arrays = {column.name: array_of(table[column.name], column.kind) for column in columns if column.kind != "list"}
    return Table(file, arrays, np.arange(1, table.num_rows + 1))


def _read_by_line(file: TraceFile, columns: Sequence[Column]) -> Table:
    """One object after the other: what is accepted here is what is accepted at all."""
    values: dict[str, list[Any]] = {column.name: [] for column in columns if column.kind != "list"}
    lines: list[int] = []
    for line, text in enumerate(file.data.split(b"\n"), start=1):
        if not text.strip():
            continue
        record = _object(file, line, text)
        lines.append(line)
        for column in columns:
            value = _value(file, line, column, record)
            if column.kind != "list":
                values[column.name].append(value)
    arrays = {
        column.name: np.array(values[column.name], dtype=DTYPES[column.kind])
        for column in columns
        if column.kind != "list"
    }
    return Table(file, arrays, np.array(lines, dtype=np.int64))


def _object(file: TraceFile, line: int, text: bytes) -> dict[str, Any]:
    try:
        record = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        file.refuse(line, f"not JSON ({error.msg} at column {error.colno}): {shown(text.decode().strip())}")
    except (ValueError, RecursionError) as error:
        file.refuse(line, f"not JSON ({error}): {shown(text.decode().strip())}")
    if not isinstance(record, dict):
        file.refuse(line, f"not a JSON object: {shown(record)}")
    return record


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {shown(twice)} comes twice")
    return record


def _value(file: TraceFile, line: int, column: Column, record: dict[str, Any]) -> Any:
    value = record.get(column.name)
    if value is None and not column.required:
        return None
    if column.name not in record:
        file.refuse(line, f"{column.name} is missing (there are: {shown(', '.join(record), 100)})")
    wrong = _what_is_wrong(column.kind, value)
    if wrong:
        file.refuse(line, f"{column.name} {shown(value)} {wrong}")
    return value


def _what_is_wrong(kind: Kind, value: object) -> str | None:
    if kind == "text":
        return None if isinstance(value, str) else "is not a text"
    if kind == "list":
        return None if isinstance(value, list) else "is not a list"
    if type(value) is int:
        return None if value in _RANGE[kind] else "is too large"
    if kind == "number" and type(value) is float:
        return None
    return "is not a whole number" if kind == "count" else "is not a number"
