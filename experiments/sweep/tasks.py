"""A cell of a grid as a task for any process: simulated, or the reason why not, and nothing written."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from experiments.cells import Cell, CellResult, cells, run_cell
from experiments.study import StudySpec
from experiments.sweep.grid import Member
from experiments.sweep.keys import key_maker


class Task(NamedTuple):
    """A cell of a grid, with the names of its workload and profile, and its key."""

    workload: str
    profile: str
    study: StudySpec
    cell: Cell
    key: str

    @property
    def labels(self) -> dict[str, str]:
        """The names by which the grid knows workload and profile."""
        return {"workload": self.workload, "profile": self.profile}

    def __str__(self) -> str:
        rate = "own rate" if self.cell.rate is None else f"{self.cell.rate:g} req/s"
        return f"{self.workload}, {self.profile}, {self.cell.policy}, {rate}, seed {self.cell.seed}"


class Failure(NamedTuple):
    """Why a cell has no result: the type of the exception, what it says, and where it was raised."""

    error: str
    message: str
    traceback: str = ""


class Outcome(NamedTuple):
    """What came of a task: a result or a failure, and the per-request table as a Parquet file if it was asked for."""

    key: str
    result: CellResult | None
    failure: Failure | None = None
    requests: bytes | None = None


def tasks_of(member: Member) -> list[Task]:
    """All cells of a study of a grid, those of one workload as neighbours. Raises as `key_maker` does."""
    key = key_maker(member.study)
    return [Task(*member, cell, key(cell)) for cell in cells(member.study)]


def check_distinct(tasks: Iterable[Task]) -> None:
    """Raise ValueError if two of the tasks are the same run."""
    seen: dict[str, Task] = {}
    for task in tasks:
        if task.key in seen:
            raise ValueError(f"two cells are the same run: {seen[task.key]}; and {task}")
        seen[task.key] = task


def do_task(task: Task, sweep: str, with_requests: bool = False) -> Outcome:
    """Simulate the cell; an exception becomes a failure.

    sweep: any name of this sweep, by which what is the same for all its tasks is worked out once a process. A
    machine where the task has another key, since sources, profile or trace differ there, fails it.
    """
    try:
        if _keys(task.study, sweep)(task.cell) != task.key:
            raise ValueError("the worker's sources, profile or trace are not those that the sweep started with")
        if not with_requests:
            return Outcome(task.key, run_cell(task.study, task.cell))
        with TemporaryDirectory() as folder:
            result = run_cell(task.study, task.cell, Path(folder))
            return Outcome(task.key, result, requests=(Path(folder) / task.cell.file_name).read_bytes())
    except Exception as error:
        return Outcome(task.key, None, Failure(type(error).__name__, str(error), traceback.format_exc()))


@lru_cache(maxsize=1)
def _keys(study: StudySpec, sweep: str) -> Callable[[Cell], str]:
    return key_maker(study)
