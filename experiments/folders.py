"""Output folders that are whole or not there: written aside, then renamed into place."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def check_target(target: Path, is_ours: Callable[[Path], str | None]) -> None:
    """Raise ValueError or OSError, with one line, unless `target` may be written or replaced.

    is_ours: says why an existing, non-empty folder may not be replaced, or None where it may.
    """
    target = _absolute(target)
    if target.exists():
        if not target.is_dir():
            raise ValueError(f"output folder {target}: is a file")
        if target in (Path.cwd(), *Path.cwd().parents):
            raise ValueError(f"output folder {target}: is the current folder or above it")
        if any(target.iterdir()) and (objection := is_ours(target)):
            raise ValueError(f"output folder {target}: {objection}; name another one or remove it")
    parent = _first_existing(target.parent)
    if not parent.is_dir():
        raise ValueError(f"output folder {target}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"output folder {target}: {parent} is not writable")


META = "meta.json"
"""Every output folder says in this file, under `made_by`, what made it."""


def foreign_in(folder: Path, made_by: str, files: Collection[str], folders: Mapping[str, str]) -> str | None:
    """Why `folder` is not an earlier output of `made_by` that may be replaced whole; None if it is one.

    files: names of what may be in it; folders: the ending of what may be in each folder in it.
    """
    try:
        ours = json.loads((folder / META).read_text(encoding="utf-8"))["made_by"] == made_by
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        return "is not empty and holds no earlier result"
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        expected = str(place) in {META, *files, *folders}
        if not expected and folders.get(str(place.parent)) != path.suffix:
            return f"holds an earlier result, and {place}, which is no part of it"
    return None


@contextmanager
def replacing(target: Path, is_ours: Callable[[Path], str | None]) -> Iterator[Path]:
    """A temporary folder beside `target`, which takes its place when the block ends without an exception.

    Otherwise nothing is left of it, and what was at `target` is as it was. Raises like `check_target`.
    """
    check_target(target, is_ours)
    target = _absolute(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    made = _make_parents(target.parent)
    try:
        _make(temporary, target)
        yield temporary
        _swap(temporary, target, is_ours)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in reversed(made):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def _swap(temporary: Path, target: Path, is_ours: Callable[[Path], str | None]) -> None:
    check_target(target, is_ours)
    if not target.exists():
        temporary.rename(target)
        return
    aside = temporary.with_suffix(".old")
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside)


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _first_existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _make_parents(folder: Path) -> list[Path]:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in missing[::-1]:
        _make(parent, parent)
    return missing[::-1]


def _make(folder: Path, target: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise PermissionError(f"output folder {target}: cannot be made: {error.strerror}") from None
