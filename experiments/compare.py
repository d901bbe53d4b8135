"""`smoothserve compare`: run a study, show its table, and keep everything in a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.reader_options import Alpha, AsJson, Bounds, Loss, LossScale, Origin

if TYPE_CHECKING:
    from experiments.aggregate import Row
    from experiments.cells import CellResult
    from experiments.study import StudySpec

DEFAULT_OUT = Path("results/compare")


def run_compare(
    study: StudySpec, out: Path = DEFAULT_OUT, *, jobs: int | None = None, quiet: bool = True
) -> tuple[StudySpec, list[Row]]:
    """Run the study and write its results to `out`; return it with its trace pinned, and a row per policy and rate.

    Nothing is left at `out` if anything goes wrong, and an earlier result there stays. All names, the trace and
    the folder are checked before anything runs. Raises ValueError or OSError with one line.
    """
    from experiments.aggregate import rows
    from experiments.cells import cells, check_names, pinned
    from experiments.figures import draw_figures
    from experiments.folders import check_target, replacing
    from experiments.precision import run_to_precision
    from experiments.progress import progress
    from experiments.results import not_ours, write_results
    from experiments.runner import run_study

    check_names(study)
    check_target(out, not_ours)
    study = pinned(study)
    with _says_what_is_saved(out, quiet), replacing(out, not_ours) as folder:
        for part in ("requests", "figures"):
            (folder / part).mkdir()

        def run(part: StudySpec) -> list[CellResult]:
            with progress(len(cells(part)), quiet) as update:
                return run_study(part, folder / "requests", jobs=jobs, on_progress=update)

        table = rows(run(study) if study.precision is None else run_to_precision(study, run))
        write_results(folder, study, table)
        draw_figures(folder / "figures", study, table)
    return study, table


@contextmanager
def _says_what_is_saved(out: Path, quiet: bool) -> Iterator[None]:
    """Says of an interruption what it leaves."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet:
            stays = f"the earlier result in {out} stays" if out.exists() else f"there is no {out}"
            print(f"smoothserve: nothing of this run is saved, {stays}", file=sys.stderr)
        raise


def compare(
    ctx: typer.Context,
    study: Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="Study; the built-in one if none.")] = None,
    trace: Annotated[str | None, typer.Option(metavar="FILE", help="Replay this trace instead.")] = None,
    trace_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its format, if not to be found out.")
    ] = None,
    lengths: Annotated[str | None, typer.Option(metavar="TABLE", help="Draw lengths from this table instead.")] = None,
    arrivals: Annotated[str | None, typer.Option(metavar="poisson|gamma|burst", help="Arrival process.")] = None,
    cv: Annotated[float | None, typer.Option(help="Coefficient of variation of gamma gaps.")] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="REQ/S", help="Arrival rate; repeatable, or with commas; inf is allowed."),
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests", "--limit", help="Requests of each run.")] = None,
    window: Annotated[float | None, typer.Option(metavar="S", help="Seconds in which requests arrive.")] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Hardware profile, or a YAML file.")] = None,
    policies: Annotated[
        str | None, typer.Option(metavar="A,B:x=1", help="Policies and engine presets (see `smoothserve policies`).")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of replications.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first replication.")] = None,
    precision: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Add seeds until scores are known to ± this share of them.")
    ] = None,
    max_seeds: Annotated[int | None, typer.Option(help="Seeds up to which --precision adds some; 50.")] = None,
    warmup: Annotated[
        str | None, typer.Option(metavar="S|mser5", help="Judge only requests that arrive from then on.")
    ] = None,
    slo: Bounds = None,
    speed: Annotated[
        str | None, typer.Option(metavar="TOKENS/S|age|language", help="Reading speed, or a mix of readers.")
    ] = None,
    expected_ttft: Annotated[float | None, typer.Option(metavar="S", help="First token as QoE expects it.")] = None,
    alpha: Alpha = None,
    origin: Origin = None,
    f: Loss = None,
    l0: LossScale = None,
    abandonment: Annotated[
        str | None, typer.Option(metavar="patience|ignore|idle_until_drop", help="How a dropped user waits.")
    ] = None,
    patience: Annotated[float | None, typer.Option(metavar="S", help="How long a dropped user waits.")] = None,
    impatience: Annotated[
        str | None,
        typer.Option(metavar="S|constant:S", help="Mean wait for a first token after which users leave."),
    ] = None,
    prediction_sigma: Annotated[
        float | None, typer.Option(metavar="SIGMA", help="Let policies see output lengths with this lognormal error.")
    ] = None,
    delivery: Annotated[
        str | None,
        typer.Option(metavar="immediate|hold_tokens:gap=S|pace:speed=X", help="How tokens reach users."),
    ] = None,
    max_concurrency: Annotated[int | None, typer.Option(help="Closed loop: requests at the server at once.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Requests running at once.")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="Tokens of an iteration.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Longest prompt + output, tokens.")] = None,
    oversize: Annotated[str | None, typer.Option(metavar="refuse|reject", help="Requests that can never fit.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go.")] = DEFAULT_OUT,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores where it pays.")] = None,
) -> None:
    """Compare scheduling policies on one workload: drawn at several rates, or replayed from a trace.

    With no argument it runs the built-in study. Options go over what the study file says.
    """
    from experiments.report import print_json, print_report
    from experiments.study_options import study_from

    given = {name: value for name, value in ctx.params.items() if value is not None and value != ()}
    spec, table = run_compare(study_from(study, given), out, jobs=jobs, quiet=quiet)
    if as_json:
        print_json(spec, table)
    else:
        print_report(spec, table, out)
