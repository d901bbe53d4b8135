"""What a sweep prints at its end: its tables, what it ran, and what failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from experiments.aggregate import json_row
from experiments.report import headline
from experiments.sweep.run import Sweep
from experiments.table import result_table

_WIDTH_OF_A_PIPE = 120
_SHOWN = 20


def print_summary(done: Sweep, out: Path) -> None:
    """A table for each study on stdout, then counts and failed cells."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    console = Console(width=width, highlight=False, markup=False)
    for member, table in done.tables:
        if table:
            console.print(f"{headline(member.study)}\n")
            console.print(result_table(table, console.width))
            console.print()
    console.print(f"{done.grid.name}: {_counts(done)}. Written to {out}: table.parquet, summary.csv.", soft_wrap=True)
    if done.num_others:
        console.print(
            f"The store has {done.num_others} more files, of other grids or earlier sources; --prune removes them.",
            style="dim",
        )
    for task, failure in done.failed[:_SHOWN]:
        first = failure.message.strip().partition("\n")[0]
        console.print(f"failed: {task}: {failure.error}: {first}", soft_wrap=True)
    if len(done.failed) > _SHOWN:
        console.print(f"and {len(done.failed) - _SHOWN} more, in {out / 'failed'}", soft_wrap=True)


def print_summary_json(done: Sweep) -> None:
    """One object on stdout: name, counts, {"results": [row, …]} with workload and profile, {"failed": [cell, …]}."""
    results = [
        {"workload": member.workload, "profile": member.profile, **json_row(row)}
        for member, table in done.tables
        for row in table
    ]
    failed: list[dict[str, Any]] = [
        {"cell": str(task), "error": failure.error, "message": failure.message} for task, failure in done.failed
    ]
    counts = {"num_cells": done.num_cells, "num_run": done.num_run, "num_failed": len(done.failed)}
    text = {"name": done.grid.name, **counts, "results": results, "failed": failed}
    print(json.dumps(text, indent=2, allow_nan=False))


def _counts(done: Sweep) -> str:
    failed = f", {len(done.failed)} failed" if done.failed else ""
    ran = f"{done.num_run} run now{failed}, {done.num_cells - done.num_run} from the store"
    return f"{done.num_cells} cells, {ran}"
