"""The runs of studies, from a store that is filled with what it does not hold yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from experiments.aggregate import rows
from experiments.cells import Cell, check_names
from experiments.paper.runs import Runs
from experiments.study import StudySpec
from experiments.sweep.backends import workers
from experiments.sweep.filler import Filler
from experiments.sweep.grid import Member
from experiments.sweep.store import Store
from experiments.sweep.tasks import Task, tasks_of

_WORKLOAD = "paper"
"""What the store calls every workload: two studies that share a run share its file."""


def runs_of(
    studies: Mapping[str, StudySpec],
    folder: Path,
    *,
    with_requests: Collection[str] = (),
    jobs: int | None = None,
    quiet: bool = True,
) -> dict[str, Runs]:
    """The runs of each study, by its name; those that the store at `folder` lacks are run first, all in one go.

    with_requests: studies whose per-request tables are kept too. jobs: worker processes; all cores if None.
    Whatever is interrupted resumes (see `experiments.sweep`). Raises ValueError or OSError of one line for a
    folder or name that is wrong, and for the first cell that failed.
    """
    for study in studies.values():
        check_names(study)
    store = Store.open(folder)
    tasks = {name: tasks_of(Member(_WORKLOAD, study.profile, study)) for name, study in studies.items()}
    found: dict[str, Runs] = {}
    with ExitStack() as open_until_the_end:
        start = cache(lambda: open_until_the_end.enter_context(workers("loky", jobs)))
        for keep in (False, True):
            names = [name for name in studies if (name in with_requests) == keep]
            filler = Filler(store, start, keep_requests=keep, quiet=quiet)
            filler.fill(list({task.key: task for name in names for task in tasks[name]}.values()))
            for key, failure in filler.failed.items():
                raise ValueError(f"{filler.asked[key]}: {failure.error}: {failure.message}")
            found |= {name: _runs(studies[name], filler, tasks[name], folder if keep else None) for name in names}
    return found


def _runs(study: StudySpec, filler: Filler, tasks: list[Task], folder: Path | None) -> Runs:
    table = tuple(rows(filler.results(tasks)))
    if folder is None:
        return Runs(study, table)
    by_key = {path.name.partition("-")[0]: path for path in (folder / "requests").glob("*.parquet")}
    files: dict[Cell, Path] = {task.cell: by_key[task.key] for task in tasks}
    return Runs(study, table, files)
