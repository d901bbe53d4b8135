"""`smoothserve sweep`: run every cell of a grid that the store does not hold yet, on this machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.reader_options import AsJson


def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="A study, or a grid of several.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The store; one that is there is filled up.")] = Path(
        "results/sweep"
    ),
    backend: Annotated[str, typer.Option(metavar="loky|ray|dask", help="What runs the cells.")] = "loky",
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Join this Ray or Dask cluster; else one is started here.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores if not given.")] = None,
    keep_requests: Annotated[bool, typer.Option("--keep-requests", help="Keep a table of the requests too.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove cells of other grids and of earlier sources from the store.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a grid of workloads × rates × profiles × policies × seeds, and keep each cell as it ends.

    The same command resumes after a kill, runs failed cells again, and runs nothing twice. Exit code 1 if cells have
    failed.
    """
    from experiments.sweep.grid import load_grid
    from experiments.sweep.run import run_sweep
    from experiments.sweep.summary import print_summary, print_summary_json

    done = run_sweep(
        load_grid(grid),
        out,
        backend=backend,
        jobs=jobs,
        address=address,
        keep_requests=keep_requests,
        prune=prune,
        quiet=quiet,
    )
    if as_json:
        print_summary_json(done)
    else:
        print_summary(done, out)
    if done.failed:
        raise typer.Exit(1)
