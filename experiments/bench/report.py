"""What a benchmark prints: a table and a verdict, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.bench.bars import spelled
from experiments.bench.rows import BenchRow
from experiments.json_numbers import plain
from experiments.numbers import number

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_A_PIPE = 120
_COLUMNS = {
    "requests": ("requests", 1.0),
    "requests\n/CPU s": ("requests_per_cpu_s", 1.0),
    "M tokens\n/CPU s": ("output_tokens_per_cpu_s", 1e-6),
    "CPU s": ("cpu_s", 1.0),
    "summary\nCPU s": ("summary_cpu_s", 1.0),
    "decisions\n/request": ("plans_per_request", 1.0),
    "iterations": ("num_iterations", 1.0),
    "peak\nMB": ("peak_rss_bytes", 1e-6),
    "times\nthe cost": ("cost_ratio", 1.0),
    "s": ("wall_s", 1.0),
    "s to first\nprogress": ("first_progress_s", 1.0),
    "speed-up": ("speed_up", 1.0),
    "s to first\npicture": ("first_picture_s", 1.0),
    "s for a\nslider": ("slider_s", 1.0),
}
_ALWAYS = ("requests", "requests_per_cpu_s", "output_tokens_per_cpu_s", "cpu_s", "peak_rss_bytes")


def json_row(row: BenchRow) -> dict[str, Any]:
    """workload, policy and every figure by name; `bar` and `meets` are null where there is none to reach."""
    values = dict.fromkeys(_ALWAYS) | {name: plain(value) for name, value in row.values.items()}
    bar = " and ".join(map(spelled, row.bars)) or None
    return {
        "workload": row.case.workload,
        "policy": row.case.policy,
        **values,
        "bar": bar,
        "meets": not row.missed if bar else None,
    }


def print_json(rows: Sequence[BenchRow]) -> None:
    """One array on stdout, an object for each row."""
    print(json.dumps([json_row(row) for row in rows], indent=2, allow_nan=False))


def print_report(rows: Sequence[BenchRow], skipped: Sequence[str]) -> None:
    """The table on stdout, and below it what was missed and what to know of the figures."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False, markup=False)
    console.print(_table(rows))
    console.print(f"\n{verdict(rows)}")
    for note in [*skipped, *_notes(rows)]:
        console.print(note, style="dim")


def verdict(rows: Sequence[BenchRow]) -> str:
    """How many bars are met, and each that is not with what was found."""
    num_bars = sum(len(row.bars) for row in rows)
    if not num_bars:
        return "Nothing here has a bar to reach."
    lost = [
        f"  {row.case.name}: {bar.metric} is {_figure(row.values[bar.metric])}, "
        f"to be at {'most' if bar.at_most else 'least'} {_figure(bar.value)}"
        for row in rows
        for bar in row.missed
    ]
    if not lost:
        return f"All {num_bars} bars are met."
    return "\n".join([f"{num_bars - len(lost)} of {num_bars} bars are met. Missed:", *lost])


def _table(rows: Sequence[BenchRow]) -> Table:
    from rich import box
    from rich.table import Table

    columns = {head: column for head, column in _COLUMNS.items() if any(column[0] in row.values for row in rows)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for head in ("workload", "policy"):
        table.add_column(head, vertical="bottom")
    for head in (*columns, "bars"):
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for row in rows:
        cells = [_cell(row, name, scale) for name, scale in columns.values()]
        table.add_row(row.case.workload, row.case.policy, *cells, _judged(row))
    return table


def _cell(row: BenchRow, name: str, scale: float) -> str:
    if name not in row.values:
        return ""
    return _figure(scale * row.values[name])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else number(value)


def _judged(row: BenchRow) -> str:
    return ("missed" if row.missed else "met") if row.bars else ""


def _notes(rows: Sequence[BenchRow]) -> list[str]:
    notes = []
    if any("cpu_s" in row.values for row in rows):
        notes.append(
            "CPU s: of the simulation loop; imports, drawing the workload and the summary are apart. Peak memory is "
            "that of a process of its own, with everything."
        )
    if any("cost_ratio" in row.values for row in rows):
        notes.append("Times the cost: of a tenth of the requests (f6, c5), or of the same at 0.9 load (overload).")
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > cores / 2 + 1:
        notes.append(f"The machine is busy (load {load:.1f} on {cores} cores): figures of an idle one are better.")
    return notes
