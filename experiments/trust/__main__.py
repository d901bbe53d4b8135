"""`python -m experiments.trust PAGE`: make one of the pages anew, with its figures."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from experiments.module_command import run_module

HOME = Path(__file__).parent
QUICK_OUT = Path("results/trust")
PAGES = {
    "theory": "experiments.trust.theory",
    "validation": "experiments.trust.validation",
    "sensitivity": "experiments.trust.sensitivity",
}
"""The module of each page: its `write_page(out, *, quick, jobs, quiet)` writes NAME.md, in capitals, to `out`."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def trust(
    page: Annotated[str, typer.Argument(metavar="PAGE", help=f"One of {', '.join(PAGES)}.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores if not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the page goes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write the page and its figures: into this package, or with --quick into results/trust."""
    if page not in PAGES:
        raise ValueError(f"page {page!r} is not one of {', '.join(PAGES)}")
    out = out or (QUICK_OUT if quick else HOME)
    out.mkdir(parents=True, exist_ok=True)
    import_module(PAGES[page]).write_page(out, quick=quick, jobs=jobs, quiet=quiet)
    typer.echo(out / f"{page.upper()}.md")


if __name__ == "__main__":
    run_module(app, "experiments.trust")
