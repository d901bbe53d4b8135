"""What came out about a claim of a paper: the verdict, computed, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """Whether the runs show what a paper claims."""

    REPRODUCED = "reproduced"
    PARTLY = "partly"
    NOT_REPRODUCED = "not reproduced"


class Finding(NamedTuple):
    """A claim in words, the paper that makes it, what came of it, and the numbers that decided."""

    claim: str
    paper: str
    outcome: Outcome
    numbers: str


def outcome(checks: Collection[bool]) -> Outcome:
    """Reproduced if every check holds, not reproduced if none does, else partly.

    A check holds only where an interval decides it, so "not reproduced" includes "these runs cannot say", and that
    there was nothing to check.
    """
    if not any(checks):
        return Outcome.NOT_REPRODUCED
    return Outcome.REPRODUCED if all(checks) else Outcome.PARTLY


def exists(checks: Collection[bool]) -> Outcome:
    """Reproduced if any check holds: of a claim that something happens, not that it always does."""
    return Outcome.REPRODUCED if any(checks) else Outcome.NOT_REPRODUCED


def count(checks: Collection[bool]) -> str:
    """How many of the checks hold, such as "3 of 6"."""
    return f"{sum(checks)} of {len(checks)}"
