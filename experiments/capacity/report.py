"""What `smoothserve capacity` prints: a table for each condition and what it says, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.capacity.conditions import Condition, Peak
from experiments.capacity.good_tokens import good_tokens_words
from experiments.capacity.rows import CapacityRow, json_row
from experiments.capacity.words import by_condition, capacity_words, interval_words, notes, verdict
from experiments.labels import short_names
from experiments.numbers import number
from experiments.report import headline
from experiments.study import StudySpec, TraceWorkload

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_A_PIPE = 120


def print_json(study: StudySpec, search: Mapping[str, Any], table: Sequence[CapacityRow]) -> None:
    """One object on stdout: {"study": …, "search": …, "results": [row, …]}, a row per condition, profile and policy."""
    spec = json.loads(study.model_dump_json(exclude={"rates", "profile"}))
    document = {"study": spec, "search": search, "results": [json_row(row) for row in table]}
    print(json.dumps(document, indent=2, allow_nan=False))


def print_report(study: StudySpec, table: Sequence[CapacityRow], out: Path) -> None:
    """The tables on stdout, and below them what they say, what to know about them and where the files are."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False, markup=False)
    profiles = ", ".join(dict.fromkeys(row.profile for row in table))
    console.print(headline(study.model_copy(update={"profile": profiles})))
    for spelled, rows in by_condition(table):
        console.print(f"\n{_heading(rows[0].condition, spelled)}\n")
        console.print(capacity_table(rows))
    console.print()
    for sentence in verdict(table):
        console.print(sentence)
    for note in [*notes(table), _legend(study, table)]:
        console.print(note, style="dim")
    console.print(f"Written to {out}: capacity.csv, evaluations.parquet and more.", soft_wrap=True)


def _heading(condition: Condition, spelled: str) -> str:
    if isinstance(condition, Peak):
        return f"The rate of a replica at which {spelled.partition(':')[2].replace('_', ' ')} peaks"
    return f"The highest rate of a replica at which {spelled}"


def capacity_table(rows: Sequence[CapacityRow]) -> Table:
    """A rich table of the rows of one condition."""
    from rich import box
    from rich.table import Table

    text = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    columns = _columns(rows)
    for name in columns:
        text.add_column(name, justify="left" if name in ("profile", "policy") else "right", vertical="bottom")
    for cells in zip(*columns.values(), strict=True):
        text.add_row(*cells)
    return text


def _columns(rows: Sequence[CapacityRow]) -> dict[str, list[str]]:
    names = short_names(row.policy for row in rows)
    columns = {
        "profile": [row.profile for row in rows],
        "policy": [names[row.policy] for row in rows],
        "capacity\nreq/s": [capacity_words(row) for row in rows],
    }
    if any(row.num_gpus > 1 for row in rows):
        columns["per GPU\nreq/s"] = [number(row.capacity.mean / row.num_gpus) for row in rows]
    columns["good\ntokens/s"] = [interval_words(row.good_tokens_per_s) for row in rows]
    if any(row.price is not None for row in rows):
        columns["USD a million\ngood tokens"] = [interval_words(row.cost_per_million_good_tokens) for row in rows]
    return columns


def _legend(study: StudySpec, table: Sequence[CapacityRow]) -> str:
    seeds = len(study.seeds)
    spread = f"± is the half-width of the 95 % interval over {seeds} seeds, each with a rate of its own."
    if seeds == 1:
        spread = "One seed has no interval."
    elif isinstance(study.workload, TraceWorkload):
        spread += " The trace is the same for every seed, so they hardly differ."
    good = {f"by {row.condition}: {good_tokens_words(row.condition)}" for row in table}
    kept = "A rate at which the run is unstable keeps no condition."
    free = " Where there is no price there is no cost." if _some_have_no_price(table) else ""
    return f"{spread} {kept} Good tokens are, {'; '.join(sorted(good))}, per second of the arrival window.{free}"


def _some_have_no_price(table: Sequence[CapacityRow]) -> bool:
    prices = [row.price for row in table]
    return None in prices and any(price is not None for price in prices)
