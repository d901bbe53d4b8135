"""`smoothserve learn`: the lessons, in a browser."""

from __future__ import annotations

from typing import Annotated

import typer


def learn(
    lesson: Annotated[str | None, typer.Argument(metavar="LESSON", help="Letter or name; all of them if none.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which lessons there are.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; a free one if 0.")] = 0,
) -> None:
    """Serve the lessons to this machine, until interrupted, and open them in the browser."""
    if listed:
        _print_list()
        return
    from experiments.lessons.registry import lesson as find_lesson

    path = "/" if lesson is None else f"/{find_lesson(lesson).slug}/"

    def tell(address: str) -> None:
        typer.echo(f"{address}{path} (stop with Ctrl+C)")
        if not headless:
            typer.launch(address + path)

    try:
        from experiments.lessons.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("marimo", "uvicorn", "starlette"):
            raise
        raise ValueError("the lessons need marimo: pip install 'smoothserve[learn]'") from error
    serve(port, tell)


def _print_list() -> None:
    from experiments.lessons.registry import LESSONS

    width = max(len(each.slug) for each in LESSONS)
    for each in LESSONS:
        typer.echo(f"{each.letter}  {each.slug:{width}}  {each.sentence}")
