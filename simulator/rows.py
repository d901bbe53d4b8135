"""Rows of numbers that are appended one by one and kept as compact columns."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.token_log import Ints


class Rows(list[tuple[float, ...]]):
    """A list of rows, so that adding one costs next to nothing, and the columns that earlier ones became.

    kinds: "f" for a column of floats, kept in 8 bytes a row, "i" for one of whole numbers, kept in 4 where they fit.
    """

    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self._chunks: list[list[npt.NDArray[np.generic]]] = [[] for _ in kinds]

    def compact(self) -> None:
        """Move the rows, some 300 bytes each, to the columns."""
        for kind, column, chunks in zip(self._kinds, zip(*self, strict=True), self._chunks, strict=False):
            if kind == "f":
                chunks.append(np.frombuffer(array("d", column)))
            else:
                chunks.append(_narrow(np.frombuffer(array("q", column), dtype=np.int64)))
        self.clear()

    def columns(self) -> list[Any]:
        """All columns, (rows,) each, of float64 or int64, which leave the table."""
        self.compact()
        return [self._take(i) for i in range(len(self._kinds))]

    def _take(self, i: int) -> npt.NDArray[Any]:
        kind: npt.DTypeLike = np.float64 if self._kinds[i] == "f" else np.int64
        joined = np.concatenate([np.empty(0, kind), *self._chunks[i]], dtype=kind)
        self._chunks[i] = []
        return joined


def _narrow(column: Ints) -> Ints | npt.NDArray[np.int32]:
    narrow = column.astype(np.int32)
    return narrow if (narrow == column).all() else column
