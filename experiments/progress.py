"""Progress of a run on stderr: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from experiments.numbers import number

_LINES = 4


@contextmanager
def progress(
    total: int, quiet: bool = False, what: str = "runs", doing: str = "simulating"
) -> Iterator[Callable[[float], None]]:
    """A function that is told how many of `total` runs, or of `what` there is, are done, fractions included."""
    if quiet:
        yield lambda done: None
    elif sys.stderr.isatty():
        with _bar(total, what, doing) as update:
            yield update
    else:
        yield _lines(total, what)


@contextmanager
def _bar(total: int, what: str, doing: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    with Progress(
        TextColumn(doing),
        BarColumn(),
        TextColumn(f"{{task.percentage:>3.0f}} % of {{task.total:.0f}} {what}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=total, rate="")
        start = monotonic()
        yield lambda done: bars.update(task, completed=done, rate=_rate(done, monotonic() - start))


def _lines(total: int, what: str) -> Callable[[float], None]:
    shown, start = 0, monotonic()
    print(f"smoothserve: 0% of {total} {what} done", file=sys.stderr)

    def update(done: float) -> None:
        nonlocal shown
        step = int(done / total * _LINES)
        if step > shown:
            shown = step
            elapsed = monotonic() - start
            parts = [f"{done / total:.0%} of {total} {what} done", _rate(done, elapsed)]
            if done < total:
                parts.append(f"{timedelta(seconds=round(elapsed * (total - done) / done))} left")
            print(f"smoothserve: {', '.join(parts)}", file=sys.stderr)

    return update


def _rate(done: float, elapsed: float) -> str:
    """How many are done in a second, or in a minute where that is less than one."""
    per_second = done / max(elapsed, 1e-9)
    return f"{number(per_second)}/s" if per_second >= 1 else f"{number(60 * per_second)}/min"
