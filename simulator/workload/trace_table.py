"""A trace file in memory and its columns as arrays, with errors that say where in the file."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from simulator.workload.workload import Floats, Ints

MAX_LENGTH = 2**31 - 1
"""Longest prompt or output that is believed, tokens; a larger one is a broken file."""

Kind = Literal["count", "number", "datetime", "text", "list"]
"""Whole number, real number, date and time, text, JSON list (only checked)."""
DTYPES: dict[Kind, str] = {
    "count": "int64",
    "number": "float64",
    "datetime": "datetime64[ns]",
    "text": "object",
}


class TraceError(ValueError):
    """A trace that cannot be read; the message is one line, `path:line: what is wrong`."""


class Column(NamedTuple):
    """A column that a format reads; an optional one may be missing from the whole file."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True)
class TraceFile:
    """A file in memory: UTF-8 bytes without a byte order mark."""

    path: str
    data: bytes

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TraceFile:
        """Read a file. Raises TraceError if it is missing, unreadable, a folder, empty or not UTF-8."""
        name = str(path)
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise TraceError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        data = data.removeprefix(b"\xef\xbb\xbf")
        if not data.strip():
            raise TraceError(f"{name}: the file is empty")
        file = cls(name, data)
        if not data.isascii():
            file._check_utf8()
        return file

    def _check_utf8(self) -> None:
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            self.refuse(line, f"byte 0x{self.data[error.start]:02x} is not UTF-8")

    @property
    def num_lines(self) -> int:
        """Lines in the file, the last of which may lack its end."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))

    def refuse(self, line: int, what: str) -> NoReturn:
        """Raise the TraceError for a line, counted from 1."""
        raise TraceError(f"{self.path}:{line}: {what}")


@dataclass(frozen=True)
class Table:
    """Columns of a trace, each (n,), and the line of the file that each row came from."""

    file: TraceFile
    columns: dict[str, npt.NDArray[Any]]
    line: Ints

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        return self.columns[column]

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def refuse(self, bad: npt.NDArray[np.bool_], column: str, rule: str) -> None:
        """Raise TraceError for the first row that is `bad`, if there is one."""
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            self.file.refuse(int(self.line[i]), f"{column} {self[column][i]} {rule}")

    def lengths(self, column: str, least: int = 1) -> Ints:
        """A column of token counts. Raises TraceError for one below `least` or beyond belief."""
        tokens: Ints = self[column]
        self.refuse(tokens < least, column, f"must be ≥ {least}")
        self.refuse(tokens > MAX_LENGTH, column, f"must be ≤ {MAX_LENGTH}")
        return tokens

    def times(self, column: str) -> Floats:
        """A column of times, in the unit of the file. Raises TraceError for one that is not finite."""
        times: Floats = self[column]
        self.refuse(~np.isfinite(times), column, "must be finite")
        return times


def array_of(column: Any, kind: Kind) -> npt.NDArray[Any]:
    """A column of an Arrow table that has no nulls, as numpy; Arrow's own way would import pandas."""
    if kind == "text":
        return np.array(column.to_pylist(), dtype=object)
    values = column.combine_chunks()
    start = values.offset * 8
    return np.frombuffer(values.buffers()[1], dtype=DTYPES[kind], count=len(values), offset=start)


def shown(value: object, width: int = 40) -> str:
    """A value as messages quote it: repr, cut to `width`, always one line."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"
