"""Calibration tables: one row per engine iteration, what it computed and how long it took."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple, Self, TextIO

import numpy as np
import numpy.typing as npt

from hardware_profiles.profile import CalibratedRange
from hardware_profiles.safe_yaml import shown
from simulator.latency import Batch

Floats = npt.NDArray[np.float64]
KINDS = ("prefill", "decode", "hybrid")
COUNTS = ("prefill_reqs", "prefill_tokens", "prefill_context", "attn_pairs", "decode_batch", "kv_tokens")
COLUMNS = ("kind", *COUNTS, "latency_s")
ABSURD_LATENCY = 600.0
"""s: no iteration takes ten minutes; such a number is in another unit."""


@dataclass(frozen=True, eq=False)
class CalibrationTable:
    """Iterations with their durations; all arrays are (num_rows,), symbols as in `simulator.latency.Batch`.

    kind: prefill, decode or hybrid. prefill_tokens P, prefill_context C, decode_batch D and kv_tokens K in
    tokens, attention_pairs A in query–key pairs, num_requests q in sequences, latency in seconds.
    """

    kind: npt.NDArray[np.str_]
    prefill_tokens: Floats
    prefill_context: Floats
    attention_pairs: Floats
    decode_batch: Floats
    kv_tokens: Floats
    num_requests: Floats
    latency: Floats
    source: str = ""
    """Tag of the source, the same in all rows."""

    def __len__(self) -> int:
        return len(self.latency)

    @property
    def tokens(self) -> Floats:
        """n = P + D: tokens that go through the linear layers."""
        return self.prefill_tokens + self.decode_batch

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """The table of the chosen rows, (num_rows,) of bool."""
        columns = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "source"}
        return replace(self, **columns)

    def batches(self) -> list[Batch]:
        """What each iteration computed, as the latency models ask for it."""
        columns = (
            self.prefill_tokens,
            self.prefill_context,
            self.attention_pairs,
            self.decode_batch,
            self.kv_tokens,
            self.num_requests,
        )
        return [Batch(*(int(count) for count in row)) for row in zip(*columns, strict=True)]

    def range(self) -> CalibratedRange:
        """Least and greatest value of each count."""

        def ends(values: Floats) -> tuple[int, int]:
            return int(values.min()), int(values.max())

        return CalibratedRange(
            tokens=ends(self.tokens),
            kv_tokens=ends(self.kv_tokens),
            prefill_context=ends(self.prefill_context),
            attention_pairs=ends(self.attention_pairs),
            num_requests=ends(self.num_requests),
        )


def read_table(path: Path) -> CalibrationTable:
    """The calibration table in a CSV file with the columns of `COLUMNS` and, if it likes, `source`.

    Raises ValueError for a missing column, a kind, count or latency that cannot be (with file and line), and
    a row that contradicts its kind; OSError if the file cannot be read.
    """
    rows: list[tuple[str, list[float], float]] = []
    sources: set[str] = set()
    with path.open(newline="", encoding="utf-8") as file:
        try:
            for row, where in _rows(file, path):
                rows.append(_parse(row, where))
                sources.add(row.get("source") or "")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: not UTF-8 text: {error.reason}, byte 0x{error.object[error.start]:02x}"
            ) from None
    if not rows:
        raise ValueError(f"{path}: no rows")
    counts = np.array([counts for _, counts, _ in rows])
    requests, prefill, context, pairs, decodes, kv = counts.T
    return CalibrationTable(
        kind=np.array([kind for kind, _, _ in rows]),
        prefill_tokens=prefill,
        prefill_context=context,
        attention_pairs=pairs,
        decode_batch=decodes,
        kv_tokens=kv,
        num_requests=requests + decodes,
        latency=np.array([latency for _, _, latency in rows]),
        source=", ".join(sorted(sources)),
    )


def _rows(file: TextIO, path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of the file, and where each is."""
    reader = csv.DictReader(file)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}:1: missing columns: {', '.join(missing)} (needed: {', '.join(COLUMNS)})")
        for row in reader:
            yield row, f"{path}:{reader.line_num}"
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num + 1}: not comma-separated values: {error}") from None


class Row(NamedTuple):
    """One row of a table's file, in the order of its columns."""

    kind: str
    prefill_reqs: int
    prefill_tokens: int
    prefill_context: int
    attn_pairs: int
    decode_batch: int
    kv_tokens: int
    latency_s: float
    source: str


def write_table(rows: Iterable[Row], path: Path) -> None:
    """Writes the CSV file that `read_table` reads, each row as it comes; OSError, before the first, if it cannot."""
    with path.open("w", newline="", encoding="utf-8", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows((*row[:-2], f"{row.latency_s:.6g}", row.source) for row in rows)


def _parse(row: dict[str, str], where: str) -> tuple[str, list[float], float]:
    """Kind, counts in the order of `COUNTS` and latency of one row of the file."""
    kind = row["kind"]
    if kind not in KINDS:
        raise ValueError(f"{where}: kind = {shown(kind)}: not one of {', '.join(KINDS)}")
    counts = [_number(row, column, where) for column in COUNTS]
    for column, value in zip(COUNTS, counts, strict=True):
        if value < 0 or value != int(value):
            raise ValueError(f"{where}: {column} = {shown(row[column])}: not a count")
    latency = _number(row, "latency_s", where)
    if not 0 < latency < ABSURD_LATENCY:
        raise ValueError(
            f"{where}: latency_s = {shown(row['latency_s'])}: not between 0 and {ABSURD_LATENCY:g} seconds"
        )
    by_column = dict(zip(COUNTS, counts, strict=True))
    prefills, decodes = by_column["prefill_tokens"] > 0, by_column["decode_batch"] > 0
    if (prefills, decodes) != (kind != "decode", kind != "prefill"):
        raise ValueError(
            f"{where}: kind = {kind!r}, but prefill_tokens = {row['prefill_tokens']}, "
            f"decode_batch = {row['decode_batch']}"
        )
    return kind, counts, latency


def _number(row: dict[str, str], column: str, where: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {column} = {shown(row[column])}: not a number")
    return value
