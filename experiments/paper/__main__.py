"""`python -m experiments.paper`: run the papers' studies, or take the runs that are kept, and write the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.module_command import run_module

DEFAULT_STORE = Path("results/paper/store")
PARTIAL_OUT = Path("results/paper/page")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def paper(
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This experiment alone; repeatable.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores if not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two seeds of half a minute, to see that it works.")] = False,
    store: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")] = DEFAULT_STORE,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the page goes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write RESULTS.md and its figures: into this package for the whole page, else into results/paper/page."""
    from experiments.paper.make import make_page
    from experiments.paper.registry import EXPERIMENTS, HOME, experiment

    wanted = [experiment(name) for name in only] if only else list(EXPERIMENTS)
    out = out or (PARTIAL_OUT if only or quick else HOME)
    make_page(out, wanted, store, quick=quick, jobs=jobs, quiet=quiet)
    typer.echo(out / "RESULTS.md")


if __name__ == "__main__":
    run_module(app, "experiments.paper")
