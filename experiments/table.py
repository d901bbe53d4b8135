"""The table of a study for people: a row per policy and rate, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from experiments.aggregate import Row
from experiments.intervals import Interval
from experiments.labels import short_names
from experiments.numbers import number, with_half_width
from experiments.verdict import Score, scores

if TYPE_CHECKING:
    from rich.table import Table


class _Column(NamedTuple):
    head: str
    key: str
    decimals: int
    scale: float = 1.0
    with_interval: bool = True
    from_width: int = 0


def result_table(table: Sequence[Row], width: int) -> Table:
    """A rich table of the rows; columns that `width` characters cannot hold are left out, the CSV has them all."""
    from rich import box
    from rich.table import Table

    text = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    text.add_column("policy", vertical="bottom", overflow="fold")
    text.add_column("rate\nreq/s", justify="right", no_wrap=True)
    columns = [column for column in _columns(scores(table)) if column.from_width <= width]
    for column in columns:
        text.add_column(column.head, justify="right", no_wrap=True)
    names = short_names(row.policy for row in table)
    for row, following in zip(table, [*table[1:], None], strict=True):
        cells = [_cell(row.values[column.key], column) for column in columns]
        rate = number(row.rate) + ("*" if row.unstable else "")
        last_of_rate = following is not None and following.runs[0].cell.rate != row.runs[0].cell.rate
        text.add_row(names[row.policy], rate, *cells, end_section=last_of_rate)
    return text


def _columns(judged: Sequence[Score]) -> list[_Column]:
    return [
        _Column("mean TTFT\ns", "ttft_mean", 3, from_width=100),
        _Column("P99 TTFT\ns", "ttft_p99", 2),
        _Column("P99 TBT\nms", "tbt_p99", 1, 1e3),
        *([_Column("SLO met\n%", "slo_attainment", 1, 1e2)] if len(judged) > 1 else []),
        *(_Column(f"{score.words}\n{score.unit}".replace(" ", "\n"), score.key, 3) for score in judged),
        _Column("util\n%", "utilisation", 1, 1e2, False, from_width=100),
        _Column("mean\nqueue", "mean_queue", 2, 1.0, False, from_width=100),
        _Column("peak\nKV %", "peak_kv", 1, 1e2, False, from_width=100),
    ]


def _cell(value: Interval, column: _Column) -> str:
    mean, half_width = value.mean * column.scale, value.half_width * column.scale
    if not column.with_interval or isnan(half_width):
        return number(mean, most_decimals=column.decimals)
    return with_half_width(mean, half_width, column.decimals)
