"""Files that are whole or not there, and that say in their own name what they must hold."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Container
from pathlib import Path

_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})\.parquet")
_STALE = 3600.0
"""Seconds after which nobody still writes a temporary file: a write takes milliseconds."""


def write_whole(path: Path, data: bytes, aside: Path) -> None:
    """Write `data` to `path` in one step: a reader, or a kill at any moment, sees the old file or the new one.

    aside: a folder of the same file system for the file while it is written.
    """
    temporary = aside / f"{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}.partial"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def clear_leftovers(aside: Path) -> None:
    """Remove temporary files whose writer was killed; those of a process that lives, here or elsewhere, stay."""
    for path in aside.glob("*.partial"):
        host, pid, *_ = path.name.rsplit(".", 3)
        try:
            gone = host == platform.node() and not _lives(int(pid))
            if gone or time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
        except (FileNotFoundError, ValueError):
            continue


class CheckedFiles:
    """A folder of files `KEY-CHECKSUM.parquet`: the name appears with the content, and gives it away if it changes."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self.folder, self._aside = folder, aside

    def put(self, key: str, data: bytes) -> Path:
        """Keep `data` under `key`; the path of its file."""
        path = self.folder / f"{key}-{_checksum(data)}.parquet"
        write_whole(path, data, self._aside)
        return path

    def sound(self, wanted: Container[str]) -> tuple[dict[str, Path], list[Path]]:
        """Files of wanted keys that are as they were written, by key; and those that are not, which are removed."""
        found: dict[str, Path] = {}
        damaged = []
        for path in sorted(self.folder.glob("*.parquet")):
            key = path.name.partition("-")[0]
            if key not in wanted:
                continue
            if not _is_sound(path):
                damaged.append(path)
            if key in found or path in damaged:
                path.unlink(missing_ok=True)
            else:
                found[key] = path
        return found, damaged

    def others(self, wanted: Container[str]) -> list[Path]:
        """Files of keys that are not wanted."""
        return [path for path in sorted(self.folder.glob("*.parquet")) if path.name.partition("-")[0] not in wanted]


def is_checked_name(name: str) -> bool:
    """Whether a file of this name could be one of `CheckedFiles`."""
    return _NAME.fullmatch(name) is not None


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _is_sound(path: Path) -> bool:
    """Whether the file's content is what its name says."""
    match = _NAME.fullmatch(path.name)
    try:
        return match is not None and match[2] == _checksum(path.read_bytes())
    except FileNotFoundError:
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
