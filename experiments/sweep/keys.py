"""A cell's key: a hash of everything that its numbers follow from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from experiments.cells import Cell, pinned
from experiments.contender import contender
from experiments.study import MixedWorkload, StudySpec, SyntheticWorkload, TraceWorkload
from experiments.sweep.sources import policy_modules, source_hash
from hardware_profiles import load_profile
from simulator.workload import load_length_table

_DIGITS = 32
_NOT_OF_A_CELL = {"name", "rates", "policies", "seeds", "precision", "max_seeds"}
"""Fields of a study that say which cells it has."""
_ENTRY_POINTS = ("experiments.cells", "experiments.sweep.rows")
"""The modules that simulate a cell and say how it is kept."""


def key_maker(study: StudySpec) -> Callable[[Cell], str]:
    """A function from the cells of this study to their keys, 32 hexadecimal digits.

    A key is the SHA-256 of the study with the rate, policy and seed of this cell alone and without its name; of the
    content of its profile, length tables and trace; and of the sources that the run imports, those of the policy
    included. So a cell of another study, or of this one under another name, has the same key if it is the same run.
    Where traces and profile files lie does not matter, what is in them does.

    Raises ValueError or OSError for what is missing, or if the trace is not the one that the study names.
    """
    shared = pinned(study).model_dump(mode="json", exclude=_NOT_OF_A_CELL)
    shared["workload"].pop("trace", None)
    if shared["profile"].endswith((".yaml", ".yml")):
        del shared["profile"]
    shared["profile_content"] = load_profile(study.profile).model_dump(mode="json")
    shared["length_tables"] = [load_length_table(name).model_dump(mode="json") for name in _tables(study)]
    sources = {policy: _sources(study, policy) for policy in study.policies}

    def key(cell: Cell) -> str:
        own = {"rate": cell.rate, "policy": cell.policy, "seed": cell.seed, "sources": sources[cell.policy]}
        return _digest(shared | own)[:_DIGITS]

    return key


def _tables(study: StudySpec) -> list[str]:
    load = study.workload
    if isinstance(load, TraceWorkload):
        return []
    if isinstance(load, SyntheticWorkload):
        return [load.lengths]
    assert isinstance(load, MixedWorkload)
    return [each.lengths for each in load.classes]


def _sources(study: StudySpec, policy: str) -> str:
    made = contender(policy, study.limits, study.delivery).policy
    return source_hash({*_ENTRY_POINTS, *policy_modules(made)})


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
