"""The table of a study for people: a row per policy and rate, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from experiments.aggregate import Row
from experiments.intervals import Interval
from experiments.labels import short_names
from experiments.numbers import number, with_half_width
from experiments.verdict import Score, scores

if TYPE_CHECKING:
    from rich.table import Table


_SHARE = "smooth_goodput_share_of_bound"
_OF_THE_REPLICA = {_SHARE, "utilisation", "mean_queue", "peak_kv"}


class _Column(NamedTuple):
    head: str
    key: str
    decimals: int
    scale: float = 1.0
    with_interval: bool = True
    from_width: int = 0


class _Line(NamedTuple):
    labels: tuple[str, ...]
    values: Mapping[str, Interval]
    ends_section: bool


def result_table(table: Sequence[Row], width: int) -> Table:
    """A rich table of the rows; columns that `width` characters cannot hold are left out, the CSV has them all."""
    names = short_names(row.policy for row in table)
    lines = [_Line((names[row.policy], _rate(row)), row.values, last) for row, last in _with_ends(table)]
    return _table(("policy",), lines, [c for c in _columns(scores(table)) if c.from_width <= width])


def class_table(table: Sequence[Row], width: int) -> Table | None:
    """Likewise with a line for each class of requests, and the QoE; None if all requests are of one class."""
    names = short_names(row.policy for row in table)
    lines = [
        _Line((names[row.policy], name, _rate(row)), values, i == len(row.classes))
        for row in table
        for i, (name, values) in enumerate(row.classes.items(), start=1)
    ]
    columns = [c for c in _columns(scores(table)) if c.from_width <= width and c.key not in _OF_THE_REPLICA]
    return _table(("policy", "class"), lines, [*columns, _Column("mean\nQoE", "qoe_mean", 3)]) if lines else None


def _table(heads: Sequence[str], lines: Sequence[_Line], columns: Sequence[_Column]) -> Table:
    from rich import box
    from rich.table import Table

    text = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for head in heads:
        text.add_column(head, vertical="bottom", overflow="fold")
    text.add_column("rate\nreq/s", justify="right", no_wrap=True)
    for column in columns:
        text.add_column(column.head, justify="right", no_wrap=True)
    for line in lines:
        cells = [_cell(line.values[column.key], column) for column in columns]
        text.add_row(*line.labels, *cells, end_section=line.ends_section)
    return text


def _with_ends(table: Sequence[Row]) -> Iterator[tuple[Row, bool]]:
    """Each row, and whether it is the last of its rate with others to come."""
    for row, following in zip(table, [*table[1:], None], strict=True):
        yield row, following is not None and following.runs[0].cell.rate != row.runs[0].cell.rate


def _rate(row: Row) -> str:
    return number(row.rate) + ("*" if row.unstable else "")


def _columns(judged: Sequence[Score]) -> list[_Column]:
    return [
        _Column("mean TTFT\ns", "ttft_mean", 3, from_width=100),
        _Column("P99 TTFT\ns", "ttft_p99", 2),
        _Column("P99 TBT\nms", "tbt_p99", 1, 1e3),
        *([_Column("SLO met\n%", "slo_attainment", 1, 1e2)] if len(judged) > 1 else []),
        *(_Column(f"{score.words}\n{score.unit}".replace(" ", "\n"), score.key, 3) for score in judged),
        _Column("of\nbound\n%", _SHARE, 1, 1e2, False, from_width=100),
        _Column("util\n%", "utilisation", 1, 1e2, False, from_width=100),
        _Column("mean\nqueue", "mean_queue", 2, 1.0, False, from_width=130),
        _Column("peak\nKV %", "peak_kv", 1, 1e2, False, from_width=100),
    ]


def _cell(value: Interval, column: _Column) -> str:
    mean, half_width = value.mean * column.scale, value.half_width * column.scale
    if not column.with_interval or isnan(half_width):
        return number(mean, most_decimals=column.decimals)
    return with_half_width(mean, half_width, column.decimals)
