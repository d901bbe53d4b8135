"""The options of `smoothserve score` as an SLO and a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from simulator.metrics import SLO, User

_OF_USER = ("speed", "alpha", "f", "l0", "origin", "abandonment", "patience")


def slo_from(given: Mapping[str, Any]) -> SLO | None:
    """The SLO of the option --slo, None without. Raises ValueError naming the part that is wrong."""
    return SLO.parse(given["slo"]) if given.get("slo") else None


def user_from(given: Mapping[str, Any]) -> User:
    """The user that the options describe, the paper's where they say nothing.

    Raises ValueError of one line naming the option and the value.
    """
    fields = {name: given[name] for name in _OF_USER if name in given}
    if "reader_mix" in given:
        if "speed" in given:
            raise ValueError("--speed and --reader-mix: readers either share one speed or come from a mix, give one")
        if given["reader_mix"] not in ("age", "language"):
            raise ValueError(f"--reader-mix: there are age and language, got {given['reader_mix']!r}")
        fields["speed"] = given["reader_mix"]
    try:
        return User.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        what = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not problem["loc"]:
            raise ValueError(what) from None
        name = str(problem["loc"][0])
        raise ValueError(f"--{name}: {what[:1].lower()}{what[1:]}, got {given.get(name)!r}") from None


def words(slo: SLO | None, user: User) -> str:
    """What the scores depend on, in a line."""
    speed = f"{user.speed} mix" if isinstance(user.speed, str) else f"{user.speed:g} tokens/s"
    reader = f"reader {speed}, α {user.alpha:g}" + (f", f {user.f}" if user.f != "seconds" else "")
    return ", ".join([reader, f"SLO {slo.spell()} ms" if slo else "no SLO"])
