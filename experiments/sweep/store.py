"""The folder of a sweep: a file per cell, kept as each one ends, and found again by the next sweep."""

from __future__ import annotations

import json
import shutil
from collections.abc import Container
from pathlib import Path
from secrets import token_hex

from experiments.cells import CellResult
from experiments.folders import META, check_target, foreign_in
from experiments.results import provenance
from experiments.sweep.checked_files import CheckedFiles, clear_leftovers, is_checked_name, write_whole
from experiments.sweep.rows import LABELS, from_bytes, from_table, labelled, to_bytes, to_table
from experiments.sweep.tasks import Failure, Outcome, Task

MADE_BY = "smoothserve sweep"
FILES = {
    "table.parquet",
    "summary.csv",
    "summary.parquet",
    "by_class.csv",
    "by_class.parquet",
    "sweep.yaml",
}
_FOLDERS = {"cells": ".parquet", "requests": ".parquet", "failed": ".json", "tmp": ".partial"}


class Store:
    """The results of a sweep in a plain folder, which any number of sweeps may write to at the same time.

    cells/KEY-CHECKSUM.parquet: a run, as `rows.to_table`. requests/KEY-CHECKSUM.parquet: its per-request table.
    failed/KEY.json: why a cell has no result. Files are whole or not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._aside = folder, folder / "tmp"
        self._cells, self._requests = (CheckedFiles(folder / kind, self._aside) for kind in ("cells", "requests"))

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store in `folder`, which is made if need be, without what killed sweeps left half-written.

        Raises ValueError or OSError, with one line, if the folder holds anything else or cannot be written.
        """
        check_target(folder, not_a_store)
        if not (folder / META).exists():
            _make(folder)
        for part in _FOLDERS:
            (folder / part).mkdir(exist_ok=True)
        store = cls(folder)
        clear_leftovers(store._aside)
        return store

    def sound(self, wanted: Container[str], with_requests: bool = False) -> tuple[dict[str, Path], list[Path]]:
        """The files of those of the wanted cells that are done, by key; and damaged files of them, now removed.

        with_requests: cells without a per-request table are not done.
        """
        found, damaged = self._cells.sound(wanted)
        if with_requests:
            tables, damaged_too = self._requests.sound(wanted)
            found, damaged = {key: path for key, path in found.items() if key in tables}, damaged + damaged_too
        return found, damaged

    def put(self, task: Task, outcome: Outcome) -> None:
        """Keep what came of the cell."""
        failed = self.folder / "failed" / f"{task.key}.json"
        if outcome.result is None:
            assert outcome.failure is not None
            write_whole(failed, _failure(task, outcome.failure), self._aside)
            return
        if outcome.requests is not None:
            self._requests.put(task.key, to_bytes(labelled(from_bytes(outcome.requests), task.labels)))
        self._cells.put(task.key, to_bytes(to_table(outcome.result, task.labels)))
        failed.unlink(missing_ok=True)

    def load(self, task: Task, path: Path) -> CellResult:
        """The result in the cell's file, which is written anew if it has earlier names of workload or profile."""
        table = from_bytes(path.read_bytes())
        if any(table[name][0].as_py() != task.labels[name] for name in LABELS):
            self._relabel(self._cells, task, path)
            for requests in self._requests.sound({task.key})[0].values():
                self._relabel(self._requests, task, requests)
        return from_table(table, task.cell)

    def write(self, name: str, data: bytes) -> None:
        """Write one of FILES or meta.json in one step."""
        write_whole(self.folder / name, data, self._aside)

    def remove(self, name: str) -> None:
        """Remove one of FILES if it is there."""
        (self.folder / name).unlink(missing_ok=True)

    def others(self, wanted: Container[str]) -> list[Path]:
        """Files of cells of other grids, or of this one with other sources."""
        failed = [path for path in sorted((self.folder / "failed").glob("*.json")) if path.stem not in wanted]
        return [*self._cells.others(wanted), *self._requests.others(wanted), *failed]

    def _relabel(self, files: CheckedFiles, task: Task, path: Path) -> None:
        renamed = files.put(task.key, to_bytes(labelled(from_bytes(path.read_bytes()), task.labels)))
        if renamed != path:
            path.unlink(missing_ok=True)


def not_a_store(folder: Path) -> str | None:
    """Why `folder` is not the store of sweeps; None if it is one."""
    if objection := foreign_in(folder, MADE_BY, FILES, _FOLDERS):
        return objection
    for kind in ("cells", "requests"):
        for path in (folder / kind).glob("*"):
            if not is_checked_name(path.name):
                return f"holds an earlier result, and {kind}/{path.name}, which is no part of it"
    return None


def _make(folder: Path) -> None:
    """An empty store in one step: of two sweeps that start together, one makes it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{token_hex(4)}.partial")
    new.mkdir()
    (new / META).write_text(provenance(MADE_BY), encoding="utf-8")
    try:
        new.rename(folder)
    except OSError:
        shutil.rmtree(new)
        check_target(folder, not_a_store)


def _failure(task: Task, failure: Failure) -> bytes:
    cell = {**task.labels, "policy": task.cell.policy, "rate": task.cell.rate, "seed": task.cell.seed}
    return (json.dumps(cell | failure._asdict(), indent=2, ensure_ascii=False) + "\n").encode()
