"""Rows of numbers that are appended one by one and kept as compact columns."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt


class Rows(list[tuple[float, ...]]):
    """A list of rows, so that adding one costs next to nothing, and the columns that earlier ones became.

    kinds: "d" for a column of floats, kept in 8 bytes a row, "i" for one of whole numbers, kept in 4 if they all fit.
    """

    def __init__(self, kinds: str) -> None:
        self._columns = [array(kind) for kind in kinds]

    def compact(self) -> None:
        """Move the rows, some 300 bytes each, to the columns."""
        for i, values in enumerate(zip(*self, strict=True)):
            try:
                more = array(self._columns[i].typecode, values)
            except OverflowError:
                self._columns[i], more = array("q", self._columns[i]), array("q", values)
            self._columns[i] += more
        self.clear()

    def columns(self) -> list[npt.NDArray[Any]]:
        """All columns, (rows,) each: float64; int32, or int64 if need be. Not copied: no row may follow."""
        self.compact()
        return [
            np.frombuffer(column, column.typecode) if column else np.empty(0, column.typecode)
            for column in self._columns
        ]
