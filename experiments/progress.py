"""Progress of a run on stderr: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINES = 4


@contextmanager
def progress(total: int, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """A function that is told how many of `total` runs are done, fractions included, and shows it."""
    if quiet:
        yield lambda done: None
    elif sys.stderr.isatty():
        with _bar(total) as update:
            yield update
    else:
        yield _lines(total)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    with Progress(
        TextColumn("simulating"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % of {task.total:.0f} runs"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=total)
        yield lambda done: bars.update(task, completed=done)


def _lines(total: int) -> Callable[[float], None]:
    shown = 0

    def update(done: float) -> None:
        nonlocal shown
        step = int(done / total * _LINES)
        if step > shown:
            shown = step
            print(f"smoothserve: {done / total:.0%} of {total} runs done", file=sys.stderr)

    return update
