"""`smoothserve score`: score real benchmark logs by every metric, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from experiments.reader_options import Alpha, AsJson, Bounds, Loss, LossScale, Origin

if TYPE_CHECKING:
    from experiments.benchlogs import Chunks
    from experiments.score_values import ScoredLog
    from simulator.metrics import SLO, User

_CHUNKS = ("spread", "as-is", "refuse")


def score_files(
    files: Sequence[Path],
    slo: SLO | None = None,
    user: User | None = None,
    *,
    format: str | None = None,
    chunks: Chunks | None = None,
) -> list[ScoredLog]:
    """Every run in the files, scored, in their order; each has a name of its own.

    Raises ValueError of one line for a file that cannot be read, an unknown format, or a setting that does not
    fit.
    """
    from experiments.benchlogs import read_bench_logs
    from experiments.score_values import score_log
    from simulator.metrics import User

    scored: list[ScoredLog] = []
    for file, name in zip(files, _names(files), strict=True):
        logs = read_bench_logs(file, format=format, chunks=chunks)
        for run, log in enumerate(logs, start=1):
            run_name = f"{name}_{run}" if len(logs) > 1 else name
            scored.append(score_log(run_name, str(file), run, log, slo, user or User()))
    return scored


def run_score(
    files: Sequence[Path], out: Path | None, slo: SLO | None, user: User, **options: Any
) -> tuple[list[ScoredLog], list[str]]:
    """Score the files and, if there is an output folder, write tables and figures there; return what these leave out.

    Nothing is left at `out` if anything goes wrong, and an earlier result there stays. Raises as `score_files`,
    and ValueError or OSError for a folder that cannot be written.
    """
    from experiments.folders import check_target, replacing
    from experiments.score_curves import score_curves
    from experiments.score_figures import draw_score_figures
    from experiments.score_results import not_scores, write_scores
    from experiments.score_values import request_table

    if out is None:
        return score_files(files, slo, user, **options), []
    check_target(out, not_scores)
    table = score_files(files, slo, user, **options)
    with replacing(out, not_scores) as folder:
        requests = {log.name: request_table(log, slo, user) for log in table}
        curves = score_curves(table, user)
        settings = {"slo": slo.spell() if slo else None, "user": user.model_dump(mode="json"), **options}
        write_scores(folder, table, requests, curves, settings)
        (folder / "figures").mkdir()
        left_out = draw_score_figures(folder / "figures", table, requests, curves, user)
    return table, left_out


def score(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Benchmark logs, or result folders of ours.")],
    slo: Bounds = None,
    speed: Annotated[float | None, typer.Option(metavar="TOKENS/S", help="Reading speed.")] = None,
    reader_mix: Annotated[str | None, typer.Option(metavar="age|language", help="Readers of many speeds.")] = None,
    alpha: Alpha = None,
    origin: Origin = None,
    f: Loss = None,
    l0: LossScale = None,
    abandonment: Annotated[
        str | None, typer.Option(metavar="patience|ignore|idle_until_drop", help="How a failed user waits.")
    ] = None,
    patience: Annotated[float | None, typer.Option(metavar="S", help="How long a failed user waits.")] = None,
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="Format of the logs, if not to be found out.")
    ] = None,
    chunks: Annotated[
        str | None, typer.Option(metavar="spread|as-is|refuse", help="What to do where chunks are not tokens.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write tables and figures here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score logs of real servers, as the load tools write them, with goodput, smooth goodput and QoE.

    Formats: vLLM, SGLang, AIPerf, GenAI-Perf, GuideLLM, llmperf, and what smoothserve saves.
    """
    from experiments.score_report import print_scores, print_scores_json
    from experiments.score_settings import slo_from, user_from

    given = {name: value for name, value in ctx.params.items() if value is not None and value != ()}
    if chunks not in (None, *_CHUNKS):
        raise ValueError(f"--chunks: there are {', '.join(_CHUNKS)}, got {chunks!r}")
    bounds, user = slo_from(given), user_from(given)
    handling = cast('Literal["spread", "as-is", "refuse"] | None', chunks)
    table, left_out = run_score(files, out, bounds, user, format=format, chunks=handling)
    if as_json:
        print_scores_json(table, bounds, user, left_out)
    else:
        print_scores(table, bounds, user, left_out)
        if out is not None:
            typer.echo(f"Written to {out}: scores.csv, figures/ and more.")


def _names(files: Sequence[Path]) -> list[str]:
    """A name for each file: its own without the extension, then as much of its path as tells it from the others."""
    parts = [[part for part in file.with_suffix("").parts if part not in ("/", "..", ".")] or ["log"] for file in files]
    depth = 1
    while True:
        names = ["_".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
        if depth >= max(map(len, parts)):
            return [f"{name}_{i}" for i, name in enumerate(names, start=1)]
        depth += 1
