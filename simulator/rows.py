"""Rows of numbers that are appended one by one and read as columns."""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt


class Rows:
    """Rows packed into one growing buffer: nothing is kept of them that Python would have to look after.

    kinds: of the columns, as `struct` spells them: "d" for floats, "i" and "q" for whole numbers of 4 and 8 bytes.
    """

    __slots__ = ("_data", "_kinds", "_pack")

    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self._pack = Struct(f"={kinds}").pack
        self._data = bytearray()

    def append(self, row: tuple[float, ...]) -> None:
        """Add a row of one number a column."""
        self._data += self._pack(*row)

    def columns(self) -> list[npt.NDArray[Any]]:
        """All columns, (rows,) each, which leave the table."""
        table = np.frombuffer(self._data, dtype=[(str(i), kind) for i, kind in enumerate(self._kinds)])
        self._data = bytearray()
        return [table[str(i)].copy() for i in range(len(self._kinds))]
