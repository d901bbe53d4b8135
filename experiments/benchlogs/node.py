"""A value in a JSON document, with its place: every reader asks for what it needs and says nothing about errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from math import isfinite
from typing import Any, NoReturn

import numpy as np

from hardware_profiles.safe_yaml import printable
from simulator.token_log import Floats, Ints

MAX_COUNT = 2**31 - 1
"""Largest count of tokens that is believed."""
MAX_TIME = 1e10
"""Largest time that is believed, seconds: 317 years."""

_UNITS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class LogError(ValueError):
    """A benchmark log that cannot be read; the message is one line, `path:line: place: what is wrong`."""


class Node:
    """A JSON value of a file; whatever is asked of it and not there raises LogError with its place and value.

    A number is an int or a float: neither true nor "1.5" is one, and it must be finite.
    """

    __slots__ = ("_key", "_origin", "value")

    def __init__(self, value: Any, origin: str | Node, key: str | int = "") -> None:
        self.value = value
        self._origin = origin
        self._key = key

    def __getitem__(self, key: str) -> Node:
        if not isinstance(self.value, dict):
            self.refuse("is not an object")
        if key not in self.value:
            raise LogError(f"{self.place}: {key} is missing (there are: {listed(self.value)})")
        return Node(self.value[key], self, key)

    def get(self, key: str) -> Node | None:
        """The value of `key`; None if there is none or it is null."""
        if not isinstance(self.value, dict) or self.value.get(key) is None:
            return None
        return Node(self.value[key], self, key)

    def has(self, *keys: str) -> bool:
        """Whether it is an object with all these keys."""
        return isinstance(self.value, dict) and all(key in self.value for key in keys)

    def items(self) -> Iterator[Node]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        return (Node(element, self, i) for i, element in enumerate(self.value))

    def at(self, index: int) -> Node:
        """An element of a list."""
        return Node(self.value[index], self, index)

    def size(self) -> int:
        """The length of a list."""
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        return len(self.value)

    @property
    def place(self) -> str:
        """Where in the file it is: `path:line`, then the keys that lead to it."""
        keys, node = "", self
        while isinstance(node._origin, Node):
            keys = (f"[{node._key}]" if isinstance(node._key, int) else f".{node._key}") + keys
            node = node._origin
        return f"{node._origin}: {keys.removeprefix('.')}" if keys else node._origin

    def refuse(self, what: str) -> NoReturn:
        """Raise LogError: this value `what`."""
        raise LogError(f"{self.place}: {shown(self.value)} {what}")

    def number(self, least: float | None = None) -> float:
        """A finite number, at least `least` if given."""
        if type(self.value) not in (int, float):
            self.refuse("is not a number")
        try:
            value = float(self.value)
        except OverflowError:
            self.refuse("is too large")
        if not isfinite(value):
            self.refuse("is not finite")
        if least is not None and value < least:
            self.refuse(f"must be ≥ {least:g}")
        return value

    def time(self, unit: str = "s", least: float | None = 0.0) -> float:
        """A time in seconds, given in `unit`."""
        value = self.number(least) * self._scale(unit)
        if abs(value) > MAX_TIME:
            self.refuse(f"is no time in {unit} (over {MAX_TIME:g} s)")
        return value

    def times(self, unit: str = "s", least: float | None = 0.0) -> Floats:
        """A list of times in seconds, given in `unit`, (n,)."""
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        if not set(map(type, self.value)) <= {int, float}:
            self._blame(unit, least)
        try:
            times = np.array(self.value, dtype=np.float64) * self._scale(unit)
        except OverflowError:
            self._blame(unit, least)
        with np.errstate(invalid="ignore"):
            good = np.abs(times) <= MAX_TIME
            if least is not None:
                good &= times >= least
        if not good.all():
            self.at(int(np.flatnonzero(~good)[0])).time(unit, least)
        return times

    def stamps(self) -> Ints:
        """A list of whole numbers of nanoseconds, (n,), none earlier than the one before it."""
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        for i in (i for i, kind in enumerate(map(type, self.value)) if kind is not int):
            self.at(i).refuse("is not a whole number")
        if self.value and not 0 <= min(self.value) <= max(self.value) < 2**63:
            self.at(next(i for i, v in enumerate(self.value) if not 0 <= v < 2**63)).count(2**63 - 1)
        stamps = np.array(self.value, dtype=np.int64)
        late = np.diff(stamps) < 0
        if late.any():
            i = int(np.flatnonzero(late)[0]) + 1
            self.at(i).refuse(f"is earlier than the one before it ({stamps[i - 1]})")
        return stamps

    def count(self, limit: int = MAX_COUNT) -> int:
        """A whole number from 0 to `limit`; 30.0 is one."""
        value = self.value
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            self.refuse("is not a whole number")
        if not 0 <= value <= limit:
            self.refuse("must be ≥ 0" if value < 0 else f"must be ≤ {limit}")
        return int(value)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self.refuse("is not a text")
        return str(self.value)

    def _scale(self, unit: str) -> float:
        if unit not in _UNITS:
            raise LogError(f"{self.place}: {shown(unit)} is no unit of time ({', '.join(_UNITS)})")
        return _UNITS[unit]

    def _blame(self, unit: str, least: float | None) -> NoReturn:
        """Raise for the first element that is no time in `unit`; there is one."""
        for node in self.items():
            node.time(unit, least)
        raise AssertionError("every element is a time")


def listed(keys: Iterable[str], limit: int = 12, width: int = 200) -> str:
    """The first keys of an object as messages list them, on one line."""
    return printable(", ".join(islice(keys, limit)) or "no keys", width)


def shown(value: object, width: int = 40) -> str:
    """A value as messages quote it, on one line: a list or an object by its size, the rest by its repr."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**width:
        return f"a number of over {width} digits"
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"
