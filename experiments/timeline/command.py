"""`smoothserve timeline`: a picture of what a run did, second by second, or a trace of it for Perfetto."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.reader_options import Bounds

if TYPE_CHECKING:
    from experiments.timeline.reader import Reader
    from experiments.timeline.runs import Run

DEFAULT_OUT = Path("timeline.png")


def timeline(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="A result of `compare`, a study file, or a saved token log.")
    ],
    start: Annotated[float | None, typer.Option("--from", metavar="S", help="Second of the run to begin at.")] = None,
    end: Annotated[
        float | None, typer.Option("--to", metavar="S", help="Second to end at; 10 s later if none.")
    ] = None,
    request: Annotated[
        int | None, typer.Option(metavar="ID", help="Show how the answer to this request came and was read.")
    ] = None,
    policy: Annotated[str | None, typer.Option(metavar="A", help="Of a study: this policy; the first if none.")] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="REQ/S", help="Of a study: this rate; the highest stable one if none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of a study: this replication; the first if none.")] = None,
    slo: Bounds = None,
    speed: Annotated[
        float | None, typer.Option(metavar="TOKENS/S", help="Reading speed, where the study does not say: 5.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="The picture; also .pdf or .svg.")] = None,
    trace: Annotated[
        Path | None, typer.Option("--chrome-trace", metavar="FILE", help="A trace that ui.perfetto.dev opens.")
    ] = None,
) -> None:
    """Show the timeline of a run: the iterations of the GPU, every request's phases, KV cache, queue and a reader.

    A study is run again for one policy, rate and seed. Without --from and --to it shows the 10 s around the first
    preemption, or the first drop, or the growth of the queue, and says which. With --chrome-trace alone there is no
    picture.
    """
    from experiments.timeline.chrome_trace import write_chrome_trace
    from experiments.timeline.figure import draw_timeline, save_timeline
    from experiments.timeline.runs import Choice, load_run
    from experiments.timeline.window import choose_window

    picture = DEFAULT_OUT if out is None and trace is None else out
    _check_files(picture, trace)
    run = load_run(result, Choice(policy, rate, seed))
    reader = None if request is None else _reader(run, request, speed)
    shown = choose_window(run.log, start, end, reader=reader)
    if picture is not None:
        due = _due(run, slo)
        figure = draw_timeline(run.log, shown.start, shown.end, reader=reader, deadlines=due, title=run.words)
        save_timeline(figure, picture)
    if trace is not None:
        write_chrome_trace(run.log, shown.start, shown.end, trace)
    files = " and ".join(str(path) for path in (picture, trace) if path is not None)
    typer.echo(f"{files}: {run.words}, {shown.start:g} to {shown.end:g} s{shown.why and f' ({shown.why})'}")


def _check_files(*paths: Path | None) -> None:
    """Raise ValueError for a file that cannot be written, before a run is simulated for it."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}")
        if path is not None and path.is_dir():
            raise ValueError(f"{path}: is a folder")


def _reader(run: Run, request: int, speed: float | None) -> Reader:
    from experiments.timeline.phases import check_requests
    from experiments.timeline.reader import Reader

    check_requests(run.log, [request])
    if speed is not None:
        return Reader(request, speed)
    of_study = float(run.speed[request])
    return Reader(request) if isnan(of_study) else Reader(request, of_study)


def _due(run: Run, slo: list[str] | None) -> dict[int, float]:
    """When the first token of each request is due, seconds: by the option, else by the study."""
    from simulator.metrics import SLO

    bound = None if slo is None else SLO.parse(slo).ttft
    due = run.log.arrival + (run.ttft if bound is None else bound)
    return {request: time for request, time in enumerate(due.tolist()) if not isnan(time)}
