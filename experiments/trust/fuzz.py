"""`python -m experiments.trust.fuzz`: damaged files for every reader, as many as asked for, and what came of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from experiments.module_command import run_module
from experiments.trust.fuzz_session import fuzz_target, keep, last_input, scratch

DEFAULT_OUT = Path("results/fuzz")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Count(NamedTuple):
    """What came of the inputs of one target. failures: neither a result nor a clear error, a crash included."""

    target: str
    inputs: int
    results: int
    refused: int
    failures: int
    seconds: float


@app.command()
def fuzz(
    inputs: Annotated[int, typer.Option(min=1, help="Inputs in all, spread evenly over the targets.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the generator that draws the damage.")] = 0,
    only: Annotated[str | None, typer.Option(metavar="A,B", help="Targets whose names begin so.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where failing inputs go.")] = DEFAULT_OUT,
    plain: Annotated[bool, typer.Option("--plain", help="Leave out atheris, even where it is installed.")] = False,
    report: Annotated[Path | None, typer.Option(hidden=True, help="One target, here; its counts go there.")] = None,
) -> None:
    """Try damaged files on every reader; exit code 1 if one of them gives neither a result nor a clear error.

    Where atheris is installed, it guides the damage towards code that was not reached; else the damage is drawn, and
    the same seed draws the same. Each target runs in a process of its own, so that a crash is found too.
    """
    guided = not plain and find_spec("atheris") is not None
    if report is not None and only is not None:
        fuzz_target(only, inputs, seed, out, report, guided)
        return
    from experiments.trust.fuzz_targets import targets

    names = [name for name in targets() if only is None or name.startswith(tuple(only.split(",")))]
    if not names:
        raise ValueError(f"--only {only}: no target begins so; there are {', '.join(targets())}")
    typer.echo(f"damage {'guided by atheris' if guided else 'drawn'}, seed {seed}")
    typer.echo("".join([f"{Count._fields[0]:28s}", *(f"{field:>9s}" for field in Count._fields[1:])]))
    shares = [inputs // len(names) + (i < inputs % len(names)) for i in range(len(names))]
    counts = [_counted(name, share, seed, out, plain) for name, share in zip(names, shares, strict=True)]
    _, *numbers = zip(*counts, strict=True)
    _show(Count("all", *map(sum, numbers)))
    if any(count.failures for count in counts):
        typer.echo(f"failing inputs are in {out}")
        raise typer.Exit(1)


def _show(count: Count) -> None:
    typer.echo("".join([f"{count.target:28s}", *(f"{number:9.0f}" for number in count[1:])]))


def _counted(name: str, inputs: int, seed: int, out: Path, plain: bool) -> Count:
    """The counts of one target, shown; where its process crashes, another one goes on with the next seed."""
    start, total = time.monotonic(), Counter[str]()
    while (left := inputs - total["inputs"]) > 0:
        total.update(_in_own_process(name, left, seed, out, plain))
        seed += 1
    inputs, results, refused, failures = (total[field] for field in Count._fields[1:5])
    count = Count(name, inputs, results, refused, failures, time.monotonic() - start)
    _show(count)
    return count


def _in_own_process(name: str, inputs: int, seed: int, out: Path, plain: bool) -> Counter[str]:
    """The counts of one process; a crash counts as a failure, and its input is kept.

    Raises ValueError if the process ends before it tries anything.
    """
    with scratch() as folder:
        report = Path(folder) / "counts.json"
        options = ["--inputs", inputs, "--seed", seed, "--only", name, "--out", out, "--report", report]
        command = [sys.executable, "-m", "experiments.trust.fuzz", *map(str, options), *["--plain"][:plain]]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        counts = Counter[str](json.loads(report.read_text()) if report.exists() else {})
        if counts["inputs"] >= inputs:
            return counts
        if not last_input(report).exists():
            raise ValueError(f"{name}: cannot be fuzzed: {(ended.stderr.strip() or 'no word').splitlines()[-1]}")
        keep(out, name, last_input(report).read_bytes(), f"the process ended with code {ended.returncode}")
        return counts + Counter(inputs=1, failures=1)


if __name__ == "__main__":
    run_module(app, "experiments.trust.fuzz")
