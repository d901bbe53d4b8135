"""What `smoothserve score` prints: tables and what to know about them, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments.json_numbers import nested
from experiments.score_settings import words
from experiments.score_table import score_tables
from experiments.score_values import ScoredLog, knows_arrivals, token_times
from simulator.metrics import SLO, User

_WIDTH_OF_A_PIPE = 120
_TOOL = "_tool"


def print_scores(table: Sequence[ScoredLog], slo: SLO | None, user: User, left_out: Sequence[str]) -> None:
    """The tables on stdout, and below them the notes of each log and what the figures leave out."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False, markup=False)
    console.print(f"{words(slo, user)}\n")
    for part in score_tables(table, console.width):
        console.print(part)
        console.print()
    if any(log.bench.tool is not None and log.bench.tool.reported for log in table):
        console.print("In brackets: the tool's own figure, per second of its own duration.", style="dim")
    for log in table:
        for note in log.notes:
            console.print(f"{log.name}: {note}.", style="dim", soft_wrap=True)
    for note in left_out:
        console.print(f"{note}.", style="dim", soft_wrap=True)


def print_scores_json(table: Sequence[ScoredLog], slo: SLO | None, user: User, left_out: Sequence[str]) -> None:
    """One object on stdout: {"settings": …, "results": [row, …], "warnings": …}, a row per log.

    Warnings of a log are in its row; those beside the results say what the figures leave out.
    """
    settings = {"slo": slo.spell() if slo else None, "user": user.model_dump(mode="json")}
    rows = [json_row(log) for log in table]
    document = {"settings": settings, "results": rows, "warnings": list(left_out)}
    print(json.dumps(document, indent=2, allow_nan=False))


def json_row(log: ScoredLog) -> dict[str, Any]:
    """The row of a log as plain JSON: ttft, tbt, tpot and e2e as objects in seconds, undefined numbers as null.

    The tool's own figures have the suffix `_tool`; `slo_tool` is the SLO that it was given, if it says.
    """
    tool = log.bench.tool
    head = {
        "name": log.name,
        "file": log.file,
        "run": log.run,
        "format": log.bench.format,
        "token_times": token_times(log.bench),
        "arrivals": "known" if knows_arrivals(log.bench) else "unknown",
        "slo_tool": tool.slo.spell() if tool is not None and tool.slo is not None else None,
    }
    ours = nested({key: value for key, value in log.values.items() if not key.endswith(_TOOL)})
    theirs = {key.removesuffix(_TOOL): value for key, value in log.values.items() if key.endswith(_TOOL)}
    named = {f"{key}{_TOOL}": value for key, value in nested(theirs).items()}
    return head | ours | named | {"refused": list(log.refused), "warnings": list(log.notes)}
