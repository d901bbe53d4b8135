"""What demonstrations print: a table and a verdict each, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.demos.demonstration import Demonstration
from experiments.demos.outcome import Finding, Outcome, PartOutcome
from experiments.demos.patience import break_even
from experiments.demos.words import difference_words, notes, verdict
from experiments.json_numbers import plain
from experiments.numbers import number

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_A_PIPE = 120


def json_row(outcome: Outcome) -> dict[str, Any]:
    """demo, reproduced, claim, and a list of differences; `break_even` where patience matters. Seconds, no scaling.

    break_even: the patience up to which dropping gains smooth goodput, seconds: of all users, and of the dropped
    users alone.
    """
    row: dict[str, Any] = {
        "demo": outcome.demo.name,
        "reproduced": outcome.reproduced,
        "claim": outcome.demo.claim,
        "num_pairs": len(outcome.parts[0].study.seeds),
        "differences": [_json_difference(part, finding) for part in outcome.parts for finding in part.findings],
    }
    patience = [_json_patience(part) for part in outcome.parts if part.curves]
    return row | ({"break_even": patience} if patience else {})


def print_json(outcomes: Sequence[Outcome]) -> None:
    """One array on stdout, an object for each demonstration."""
    print(json.dumps([json_row(outcome) for outcome in outcomes], indent=2, allow_nan=False, ensure_ascii=False))


def print_list(known: Sequence[Demonstration], as_json: bool) -> None:
    """What there is: a line each on stdout, or an array of objects with the claim in them."""
    if as_json:
        listed = [{"demo": demo.name, "title": demo.title, "claim": demo.claim} for demo in known]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    for demo in known:
        print(f"{demo.name:<12}{demo.title}")
    print("\n`smoothserve demo NAME` runs one, `smoothserve demo all` all of them.")


def print_outcome(outcome: Outcome, out: Path) -> None:
    """Its tables and its verdict on stdout, and where the files are."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    console = Console(width=width, highlight=False, markup=False)
    console.print(f"{outcome.demo.title}\n", style="bold")
    for part in outcome.parts:
        console.print(f"{part.part.where}; {len(part.study.seeds)} paired runs on {part.study.profile}", style="dim")
        console.print(_table(part))
        console.print()
    console.print(verdict(outcome))
    for note in notes(outcome):
        console.print(note)
    console.print(f"Written to {out}: hand.png, runs.png, differences.csv and more.\n", soft_wrap=True)


def _table(part: PartOutcome) -> Table:
    from rich import box
    from rich.table import Table

    text = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    text.add_column("")
    for head in (*part.part.labels, "difference"):
        text.add_column(head, justify="right", no_wrap=True)
    for head in ("unit", "claimed", "holds"):
        text.add_column(head)
    for finding in part.findings:
        b, a = (number(value * finding.measure.scale) for value in (finding.claim.mean_b, finding.claim.mean_a))
        holds = "yes" if finding.holds else "no"
        measure = finding.measure
        text.add_row(measure.words, b, a, difference_words(finding), measure.unit, finding.expected, holds)
    return text


def _json_difference(part: PartOutcome, finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    return {
        "part": part.part.name,
        "metric": finding.measure.name,
        "a": plain(claim.mean_a),
        "b": plain(claim.mean_b),
        "difference": plain(claim.difference.mean),
        "half_width": plain(claim.difference.half_width),
        "expected": finding.expected,
        "holds": finding.holds,
    }


def _json_patience(part: PartOutcome) -> dict[str, Any]:
    total, own = break_even(part.curves)
    return {
        "part": part.part.name,
        **{
            users: {"patience": plain(value.mean), "half_width": plain(value.half_width)}
            for users, value in (("all_users", total), ("dropped_users", own))
        },
    }
