"""Brings a store to hold cells, whatever it takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from secrets import token_hex

from experiments.cells import CellResult
from experiments.folders import unwritable
from experiments.progress import progress
from experiments.sweep.backends import Workers
from experiments.sweep.drive import outcomes
from experiments.sweep.store import Store
from experiments.sweep.tasks import Failure, Task, do_task


class Filler:
    """Fills a store with workers that `start` starts once there is something for them to do.

    asked: all cells that it was asked for, by key. failed: those that have no result. num_run: how many it ran.
    """

    def __init__(self, store: Store, start: Callable[[], Workers], *, keep_requests: bool, quiet: bool) -> None:
        self._store, self._start, self._quiet, self._keep_requests = store, start, quiet, keep_requests
        self._do = partial(do_task, sweep=token_hex(8), with_requests=keep_requests)
        self.asked: dict[str, Task] = {}
        self.failed: dict[str, Failure] = {}
        self.num_run = 0

    def fill(self, tasks: Sequence[Task]) -> None:
        """Run those of the cells that the store does not hold, or not any more, and have not failed before."""
        is_first = not self.asked
        self.asked |= {task.key: task for task in tasks}
        kept, damaged = self._store.sound({task.key for task in tasks}, self._keep_requests)
        for path in damaged:
            self._say(f"{path} is damaged and removed; its cell runs again")
        if kept and is_first:
            self._say(f"{len(kept)} of {len(tasks)} cells are in {self._store.folder}")
        todo = [task for task in tasks if task.key not in kept and task.key not in self.failed]
        if todo:
            with progress(len(todo), self._quiet, "cells") as update:
                for done, (task, outcome) in enumerate(outcomes(self._start(), todo, self._do, self._say), start=1):
                    self._store.put(task, outcome)
                    if outcome.failure is not None:
                        self.failed[task.key] = outcome.failure
                    self.num_run += 1
                    update(done)

    def results(self, tasks: Sequence[Task]) -> list[CellResult]:
        """What the store holds of the cells, once it is filled, in their order."""
        self.fill(tasks)
        kept, _ = self._store.sound({task.key for task in tasks})
        return [self._store.load(task, kept[task.key]) for task in tasks if task.key in kept]

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Says of an interruption what it leaves; raises OSError that says it of a store that cannot be written."""
        try:
            yield
        except KeyboardInterrupt:
            self._say(self._saved())
            raise
        except OSError as error:
            if problem := unwritable(error, self._store.folder):
                raise OSError(f"output folder {self._store.folder}: {problem}; {self._saved()}") from None
            raise

    def _saved(self) -> str:
        kept, _ = self._store.sound(self.asked, self._keep_requests)
        where = f"{len(kept)} of {len(self.asked)} cells are saved in {self._store.folder}"
        return f"{where}; the same command resumes"

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(f"smoothserve: {' '.join(text.split())}", file=sys.stderr)
