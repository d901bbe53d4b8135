"""Comma-separated traces with a header: Arrow reads them, and a slow reader finds the line that is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from simulator.workload.trace_table import DTYPES, Column, Table, TraceFile, array_of, shown

_COUNT = re.compile(r"-?[0-9]+")
_INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?)"
    r"(Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?"
)
"""Groups: date, time, time zone, and of the zone its sign, hours and minutes unless it is Z."""


def read_header(file: TraceFile) -> list[str]:
    """The names in the first line. Raises TraceError if they are not a line of CSV or if one comes twice."""
    first, _, _ = file.data.partition(b"\n")
    try:
        names = next(csv.reader([first.decode()], strict=True), [])
    except csv.Error as error:
        file.refuse(1, f"not a header of comma-separated names ({error})")
    names = [name.strip() for name in names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        file.refuse(1, f"column {shown(twice[0])} comes twice")
    return names


def read_csv(file: TraceFile, columns: Sequence[Column]) -> Table:
    """The columns asked for, by name. Raises TraceError for a missing column or a row that cannot be read."""
    header = read_header(file)
    for column in columns:
        if column.required and column.name not in header:
            file.refuse(1, f"column {column.name} is missing (there are: {shown(', '.join(header), 100)})")
    wanted = [column for column in columns if column.name in header]
    return _read_by_arrow(file, header, wanted) or _read_by_line(file, header, wanted)


def _read_by_arrow(file: TraceFile, header: list[str], columns: list[Column]) -> Table | None:
    """The whole file at once; None if Arrow refuses it or would have to be told which line is which."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if b"0x" in file.data or b"0X" in file.data:  # to Arrow that is a number
        return None
    first = _DATETIME.fullmatch(_first_cell(file, header, columns))
    zoned = first is not None and first[3] is not None
    types = {
        "count": pa.int64(),
        "number": pa.float64(),
        "datetime": pa.timestamp("ns", "UTC" if zoned else None),
        "text": pa.string(),
    }
    convert = arrow_csv.ConvertOptions(
        column_types={column.name: types[column.kind] for column in columns},
        include_columns=[column.name for column in columns],
        null_values=[],
    )
    read = arrow_csv.ReadOptions(column_names=header, skip_rows=1)
    try:
        table = arrow_csv.read_csv(io.BytesIO(file.data), read_options=read, convert_options=convert)
    except pa.ArrowInvalid:
        return None
    if table.num_rows + 1 != file.num_lines:
        return None
    arrays = {column.name: array_of(table[column.name], column.kind) for column in columns}
    return Table(file, arrays, np.arange(2, table.num_rows + 2))


def _first_cell(file: TraceFile, header: list[str], columns: list[Column]) -> str:
    """The date and time in the first row, "" if there is none."""
    times = [header.index(column.name) for column in columns if column.kind == "datetime"]
    cells = file.data.split(b"\n", 2)[1:2]
    row = cells[0].decode().strip().split(",") if cells else []
    return row[times[0]] if times and times[0] < len(row) else ""


def _read_by_line(file: TraceFile, header: list[str], columns: list[Column]) -> Table:
    """One row after the other: what is accepted here is what is accepted at all."""
    cells: dict[str, list[Any]] = {column.name: [] for column in columns}
    lines: list[int] = []
    places = [(column, header.index(column.name), _cell_parser(column)) for column in columns]
    for line, row in _rows(file):
        if len(row) != len(header):
            file.refuse(line, f"{len(row)} fields where the header has {len(header)}: {shown(','.join(row))}")
        lines.append(line)
        for column, place, parse in places:
            try:
                cells[column.name].append(parse(row[place].strip()))
            except ValueError as error:
                file.refuse(line, f"{column.name} {shown(row[place])} {error}")
    arrays = {column.name: np.array(cells[column.name], dtype=DTYPES[column.kind]) for column in columns}
    return Table(file, arrays, np.array(lines, dtype=np.int64))


def _rows(file: TraceFile) -> Iterator[tuple[int, list[str]]]:
    """Rows after the header that are not blank, each with the line on which it ends."""
    reader = csv.reader(io.StringIO(file.data.decode(), newline=""), strict=True)
    try:
        next(reader)
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        file.refuse(reader.line_num, f"not a row of comma-separated values ({error})")


def _cell_parser(column: Column) -> Callable[[str], Any]:
    if column.kind == "count":
        return _count
    if column.kind == "number":
        return _number
    return _DatetimeParser() if column.kind == "datetime" else str


def _count(cell: str) -> int:
    if not _COUNT.fullmatch(cell):
        raise ValueError("is not a whole number")
    if len(cell.lstrip("-0")) > 19 or int(cell) not in _INT64:
        raise ValueError("is too large")
    return int(cell)


def _number(cell: str) -> float:
    if not _NUMBER.fullmatch(cell):
        raise ValueError("is not a number")
    return float(cell)


class _DatetimeParser:
    """Dates with a time zone or without, but not both in one file."""

    def __init__(self) -> None:
        self._zoned: bool | None = None

    def __call__(self, cell: str) -> np.datetime64:
        match = _DATETIME.fullmatch(cell)
        if not match:
            raise ValueError("is not a date and time (YYYY-MM-DD HH:MM:SS.fffffff, with or without a zone)")
        date, time, zone, sign, hours, minutes = match.groups()
        if not "1678" <= date[:4] <= "2261":
            raise ValueError("is a year that 64-bit nanoseconds do not reach")
        zoned = zone is not None
        if self._zoned not in (None, zoned):
            raise ValueError(f"has {'a' if zoned else 'no'} time zone, unlike the rows above")
        self._zoned = zoned
        offset = int(f"{sign}1") * (60 * int(hours) + int(minutes or 0)) if sign else 0
        return np.datetime64(f"{date}T{time or '00'}", "ns") - np.timedelta64(offset, "m")
