"""Output folders that are whole or not there: written aside, then renamed into place."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

META = "meta.json"
"""Every output folder says in this file, under `made_by`, what made it."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors that can only come from writing, wherever they are raised."""


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
        if path.is_symlink():
            return f"holds an earlier result, and {place}, a link that leads out of it"
        expected = str(place) in {META, *files, *folders}
        if not expected and folders.get(str(place.parent)) != path.suffix:
            return f"holds an earlier result, and {place}, which is no part of it"
    return None


@contextmanager
def replacing(target: Path, is_ours: Callable[[Path], str | None]) -> Iterator[Path]:
    """A temporary folder beside `target`, which takes its place when the block ends without an exception.

    Otherwise nothing is left of it, and what was at `target` is as it was. Raises like `check_target`, and OSError of
    one line where the folder cannot be written any more, full, read-only or gone.
    """
    check_target(target, is_ours)
    target = _absolute(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    made = _make_parents(target.parent)
    try:
        _make(temporary, target)
        yield temporary
        replaced = _swap(temporary, target, is_ours)
    except BaseException as error:
        problem = unwritable(error, temporary) if isinstance(error, OSError) else None
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in reversed(made):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if problem:
            stays = ", the earlier result stays" if target.exists() else ""
            raise OSError(f"output folder {target}: {problem}; nothing of this run is saved{stays}") from None
        raise
    if replaced is not None:
        shutil.rmtree(replaced)


def unwritable(error: OSError, folder: Path) -> str | None:
    """What is wrong with the folder where that is what the error is about; None where it is about anything else."""
    if not folder.exists() and not isinstance(error, PermissionError):
        return os.strerror(errno.ENOENT)
    of_the_folder = str(error.filename or "").startswith(str(folder))
    if error.errno is None or not (error.errno in _NO_ROOM or of_the_folder):
        return None
    return os.strerror(error.errno)


def _swap(temporary: Path, target: Path, is_ours: Callable[[Path], str | None]) -> Path | None:
    """Put `temporary` in the place of `target`; where that is now, if there was one."""
    check_target(target, is_ours)
    if not target.exists():
        temporary.rename(target)
        return None
    aside = temporary.with_suffix(".old")
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    return aside


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
