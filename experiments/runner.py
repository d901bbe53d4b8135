"""Runs all cells of a study, here or in worker processes; the results do not depend on where."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path

from experiments.cells import Cell, CellResult, cells, num_requests, run_cell
from experiments.study import StudySpec
from experiments.sweep.backends import Workers
from experiments.sweep.batches import each, take_batch

_WORTH_WORKERS = 60_000
"""Requests from which on workers save more than their start costs (about 1.5 s of CPU each for imports)."""


def run_study(
    study: StudySpec,
    folder: Path | None = None,
    *,
    jobs: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> list[CellResult]:
    """Results of all cells, in the order of `cells`.

    folder: where per-request tables go, if they are wanted. jobs: worker processes; None takes every core, or
    none of them where the study is too small to repay the start of a worker. on_progress: told how many cells
    are done, with the part that is done of a cell where that is known.

    Raises what the simulation of a cell raises; a ValueError is about the input, or says that a worker died.
    """
    todo = cells(study)
    report = on_progress or (lambda done: None)
    if jobs is None and num_requests(study) >= _WORTH_WORKERS:
        jobs = _num_cores()
    jobs = min(jobs or 1, len(todo))
    if jobs == 1:
        return [_run_here(study, cell, folder, report) for cell in todo]
    return _run_in_workers(study, todo, folder, jobs, report)


def _run_here(study: StudySpec, cell: Cell, folder: Path | None, report: Callable[[float], None]) -> CellResult:
    from experiments.cells import cell_workload

    total = len(cell_workload(study, cell.rate, cell.seed)) or 1
    result = run_cell(study, cell, folder, lambda ended: report(cell.index + ended / total))
    report(cell.index + 1)
    return result


def _run_in_workers(
    study: StudySpec, todo: list[Cell], folder: Path | None, jobs: int, report: Callable[[float], None]
) -> list[CellResult]:
    results: list[CellResult] = []
    batches = iter(partial(take_batch, deque(todo), lambda cell: (cell.rate, cell.seed), jobs), [])
    run_batch = partial(each, partial(run_cell, study, folder=folder))
    try:
        for batch in Workers(lambda: "loky", jobs).results(run_batch, batches):
            results += batch
            report(len(results))
    except BrokenExecutor:
        raise ValueError(
            f"a worker died after {len(results)} of {len(todo)} runs, perhaps out of memory: give fewer --jobs, or use "
            "`smoothserve sweep`, which keeps what is done"
        ) from None
    return sorted(results, key=lambda result: result.cell.index)


def _num_cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())
