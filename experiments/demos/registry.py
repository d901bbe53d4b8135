"""Demonstrations by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from simulator.unknown_name import unknown_name

if TYPE_CHECKING:
    from experiments.demos.demonstration import Demonstration

DEMOS = {
    "delay": "experiments.demos.delay",
    "drop": "experiments.demos.drop",
    "early-drop": "experiments.demos.early_drop",
    "hold-last": "experiments.demos.hold_last",
    "ttft-only": "experiments.demos.ttft_only",
}
"""Modules by name, each with a `DEMO`."""

ALL = "all"


def demos(name: str = ALL) -> list[Demonstration]:
    """The demonstration of that name, or all of them. Raises ValueError, with near matches, where there is none."""
    if name != ALL and name not in DEMOS:
        raise ValueError(unknown_name("demonstration", name, [*DEMOS, ALL]))
    return [_load(each) for each in (DEMOS if name == ALL else [name])]


def _load(name: str) -> Demonstration:
    found: Demonstration = import_module(DEMOS[name]).DEMO
    return found
