"""Command-line options by which every command that judges runs is told of promises and readers."""

from __future__ import annotations

from typing import Annotated

import typer

Bounds = Annotated[
    list[str] | None, typer.Option("--slo", metavar="ttft:1000,tbt:100", help="Bounds in milliseconds; repeatable.")
]
Alpha = Annotated[float | None, typer.Option("--alpha", help="Price of waiting.")]
Origin = Annotated[str | None, typer.Option("--origin", metavar="submission|first_token", help="Start of deadlines.")]
Loss = Annotated[str | None, typer.Option("--f", metavar="seconds|share", help="Loss by idle latency.")]
LossScale = Annotated[float | None, typer.Option("--l0", metavar="S", help="Idle latency that loses all (f share).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
