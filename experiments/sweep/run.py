"""Runs a grid: what is in the store already is not run again, and what runs is kept as it ends."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple

from experiments.aggregate import Row, rows
from experiments.cells import CellResult
from experiments.precision import run_to_precision
from experiments.study import StudySpec
from experiments.sweep.backends import check_backend, workers
from experiments.sweep.filler import Filler
from experiments.sweep.grid import GridSpec, Member, check_grid, pinned_grid
from experiments.sweep.outputs import write_outputs
from experiments.sweep.store import Store
from experiments.sweep.tasks import Failure, Task, check_distinct, tasks_of

DEFAULT_OUT = Path("results/sweep")


class Sweep(NamedTuple):
    """What a sweep left: rows for each study of the grid, how many cells it ran, and those that have no result."""

    grid: GridSpec
    tables: list[tuple[Member, list[Row]]]
    num_cells: int
    num_run: int
    failed: list[tuple[Task, Failure]]
    num_others: int


def run_sweep(
    grid: GridSpec,
    out: Path = DEFAULT_OUT,
    *,
    backend: str = "loky",
    jobs: int | None = None,
    address: str | None = None,
    keep_requests: bool = False,
    prune: bool = False,
    quiet: bool = True,
) -> Sweep:
    """Bring the store at `out` to hold every cell of the grid, and write what it says of them all.

    Cells that are there and sound are not run. A cell that raises, or kills its worker, is recorded and does not
    stop the others; it is tried again by the next sweep. Any interruption loses only the cells in
    flight (of each worker four at most) and what is handed in and not yet written.
    backend, jobs, address: as of `backends.workers`. keep_requests: a table of every request too. prune: remove
    what the store holds of other grids and of earlier sources. quiet: say nothing on stderr.

    All names, the traces and the folder are checked before anything runs. Raises ValueError or OSError with one
    line.
    """
    check_backend(backend, jobs, address)
    check_grid(grid)
    grid = pinned_grid(grid)
    tasks = [task for member in grid.studies() for task in tasks_of(member)]
    check_distinct(tasks)
    store = Store.open(out)
    with ExitStack() as open_until_the_end:
        start = cache(lambda: open_until_the_end.enter_context(workers(backend, jobs, address)))
        filler = Filler(store, start, keep_requests=keep_requests, quiet=quiet)
        open_until_the_end.enter_context(filler.resumable())
        filler.fill(tasks)
        tables = [(member, rows(_results(filler, member))) for member in grid.studies()]
        write_outputs(store, grid, tables)
    others = store.others(filler.asked)
    if prune:
        for path in others:
            path.unlink(missing_ok=True)
    failed = [(task, filler.failed[key]) for key, task in filler.asked.items() if key in filler.failed]
    return Sweep(grid, tables, len(filler.asked), filler.num_run, failed, 0 if prune else len(others))


def _results(filler: Filler, member: Member) -> list[CellResult]:
    """Results of a study of the grid, with the seeds that it adds for its precision if it asks for one."""

    def results(study: StudySpec) -> list[CellResult]:
        return filler.results(tasks_of(member._replace(study=study)))

    return run_to_precision(member.study, results) if member.study.precision else results(member.study)
