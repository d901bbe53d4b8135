"""`smoothserve bench`: how fast the simulator is here, against the bars that it is held to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.reader_options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.bench.rows import BenchRow

DEFAULT_TRACE = Path("AzureLLMInferenceTrace_conv.csv")


def run_workloads(
    workload: str = "all",
    *,
    requests: int | None = None,
    policies: str | None = None,
    trace: Path | None = None,
    repeat: int = 1,
    quiet: bool = True,
) -> tuple[list[BenchRow], list[str]]:
    """The rows of the workloads that `workload` names, and a sentence for each that was skipped.

    requests, policies: instead of the workloads' own. trace: the Azure 2023 conversation trace; looked for in the
    working folder if not given. All names are checked before anything runs. Raises ValueError or OSError with one
    line.
    """
    from experiments.bench.cases import cases, chosen
    from experiments.bench.run import run_bench
    from experiments.progress import progress

    _check_files(trace)
    names = chosen(workload)
    skipped = _skipped(names, trace or DEFAULT_TRACE)
    names = [name for name in names if name not in skipped]
    todo = cases(names, requests, _checked(policies), str((trace or DEFAULT_TRACE).resolve()))
    with progress(repeat * len(todo), quiet, "measurements") as update:
        return run_bench(todo, repeat, update), [f"{name} is skipped: {why}." for name, why in skipped.items()]


def bench(
    workload: Annotated[
        str,
        typer.Option(
            metavar="A,B|all",
            help="f6, c5, c1, overload, andes, policies, trace, score; by the clock: startup, sweep, lessons.",
        ),
    ] = "all",
    requests: Annotated[int | None, typer.Option(min=1, help="Requests of each run.")] = None,
    policies: Annotated[str | None, typer.Option(metavar="A,B:x=1", help="Policies instead of the workload's.")] = None,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="The Azure 2023 conversation trace.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Measure so often; the best counts.")] = 1,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Measure how fast the simulator is: CPU seconds and memory of fixed workloads, against the bars they are held to.

    Each case runs in a process of its own, one after the other; all of them take a few minutes.
    """
    from experiments.bench.report import print_json, print_report

    rows, skipped = run_workloads(
        workload, requests=requests, policies=policies, trace=trace, repeat=repeat, quiet=quiet
    )
    if not as_json:
        print_report(rows, skipped)
        return
    print_json(rows)
    for sentence in skipped:
        print(f"smoothserve: {sentence}", file=sys.stderr)


def _check_files(trace: Path | None) -> None:
    if trace is not None:
        with trace.open("rb"):
            pass


def _checked(policies: str | None) -> Sequence[str] | None:
    from experiments.contender import contender
    from simulator.policy import EngineLimits

    specs = [spec.strip() for spec in policies.split(",")] if policies is not None else None
    for spec in specs or []:
        contender(spec, EngineLimits())
    return specs


def _skipped(names: Sequence[str], trace: Path) -> dict[str, str]:
    """Workloads that cannot be measured here, and why."""
    from joblib import cpu_count

    from experiments.bench.cases import LESSONS, SWEEP, TRACE

    why = {}
    if LESSONS in names:
        from experiments.lessons.browser import missing

        if lacking := missing():
            why[LESSONS] = f"it {lacking}"
    if TRACE in names and not trace.is_file():
        why[TRACE] = f"there is no {trace} here; name the Azure 2023 conversation trace with --trace"
    if SWEEP in names and (cores := int(cpu_count())) < 2:
        why[SWEEP] = f"two workers need two cores, and there is {cores}"
    return why
