"""A benchmark log as a file: its bytes, and the JSON values in it, however many one file holds."""

from __future__ import annotations

import json
import stat
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from experiments.benchlogs.node import LogError, Node, shown

MAX_BYTES = 2 << 30
"""Largest file that is read: some 500,000 requests of 200 tokens in the wordiest format."""

_SPACE = " \t\r\n"
_BOM = b"\xef\xbb\xbf"


class LogFile:
    """A file, or a folder, that may be a benchmark log; it is read when its content is asked for.

    Every error is a LogError, `path:line: what is wrong`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def data(self) -> bytes:
        """Its bytes. Raises LogError for a file that is missing, empty, no file, unreadable or beyond `MAX_BYTES`."""
        try:
            mode = self.path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise LogError(f"{self.path}: is not a file")
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, LogError):
                raise
            raise LogError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None
        if len(data) > MAX_BYTES:
            raise LogError(f"{self.path}: the file has more than {MAX_BYTES >> 30} GiB")
        if not data.removeprefix(_BOM).strip():
            raise LogError(f"{self.path}: the file is empty")
        return data

    @cached_property
    def values(self) -> tuple[Node, ...]:
        """The JSON values of the file: one, or one a line, or several in a row as an appending tool leaves them.

        Raises LogError for what is not JSON in UTF-8, is nested too deeply, or has a key twice in one object.
        NaN and Infinity, which Python's own writer produces, are read; whoever asks for the number refuses them.
        """
        text = self._text()
        decoder = json.JSONDecoder(object_pairs_hook=_unique_keys)
        nodes: list[Node] = []
        position, line = _skip_space(text, 0), 1 + text.count("\n", 0, _skip_space(text, 0))
        while position < len(text):
            try:
                value, end = decoder.raw_decode(text, position)
            except json.JSONDecodeError as error:
                raise self._not_json(text, error) from None
            except (ValueError, RecursionError) as error:
                why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                raise LogError(f"{self.path}:{line}: not JSON that can be read: {why}") from None
            nodes.append(Node(value, f"{self.path}:{line}"))
            following = _skip_space(text, end)
            line += text.count("\n", position, following)
            position = following
        return tuple(nodes)

    def _text(self) -> str:
        data = self.data.removeprefix(_BOM)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise LogError(f"{self.path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8") from None

    def _not_json(self, text: str, error: json.JSONDecodeError) -> LogError:
        cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated string")
        if cut:
            return LogError(f"{self.path}:{error.lineno}: the file ends in the middle of a JSON value")
        excerpt = shown(text[error.pos : error.pos + 60])
        return LogError(f"{self.path}:{error.lineno}: not JSON ({error.msg}, column {error.colno}): {excerpt}")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {shown(twice)} comes twice in one object")
    return record
