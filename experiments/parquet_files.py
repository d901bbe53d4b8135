"""Parquet files from outside: their columns as arrays, or one line that names the file and the column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hardware_profiles.safe_yaml import printable


def read_parquet(path: Path) -> pa.Table:
    """The table in the file. Raises ValueError of one line for a damaged one, OSError where there is none."""
    with path.open("rb") as file:
        try:
            table = pq.ParquetFile(file).read()
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{path}: is damaged: {in_one_line(str(error)) or type(error).__name__}") from None
    if len(set(table.column_names)) < table.num_columns:
        raise ValueError(f"{path}: two columns have the same name")
    return table


def whole_numbers(path: Path, table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column of whole numbers, in the type that they have. Raises ValueError of one line for anything else."""
    column = _column(path, table, name)
    if not pa.types.is_signed_integer(column.type) or column.null_count:
        raise ValueError(f"{path}: column {name}: should be whole numbers, is {_kind(column)}")
    return np.asarray(column.to_numpy())


def numbers(path: Path, table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column of numbers of double precision, NaN where one is missing. ValueError of one line for anything else."""
    column = _column(path, table, name)
    if column.type != pa.float64():
        raise ValueError(f"{path}: column {name}: should be numbers, is {_kind(column)}")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def texts(path: Path, table: pa.Table, name: str) -> list[str]:
    """A column of texts. Raises ValueError of one line for anything else."""
    column = _column(path, table, name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)) or column.null_count:
        raise ValueError(f"{path}: column {name}: should be texts, is {_kind(column)}")
    return [str(text) for text in column.to_pylist()]


def in_one_line(text: str, width: int = 200) -> str:
    """The first line of a text, cut to `width`, nothing in it unprintable."""
    return printable(text.strip().partition("\n")[0], width)


def _column(path: Path, table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ValueError(f"{path}: column {name} is missing")
    return table.column(name)


def _kind(column: pa.ChunkedArray) -> str:
    missing = f", {column.null_count} of them missing" if column.null_count else ""
    return in_one_line(str(column.type), 60) + missing
