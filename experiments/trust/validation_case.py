"""A measured latency beside the simulated one, and how far they are apart over many of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np


class Quantity(StrEnum):
    """What was measured."""

    E2E = "E2E"
    """From the first prompt to the last token of a batch."""
    TTFT = "TTFT"
    """The prefill of a batch of prompts."""
    TPOT = "TPOT"
    """One decode step of a batch, at a given context."""


class Role(StrEnum):
    """What the simulation knew of the measurement; the first two are in-sample."""

    FITTED = "fitted on it"
    CHOSEN = "no preset, for it was seen not to suit"
    UNSEEN = "not seen"
    OVERFULL = "not seen, batch larger than the KV cache"
    ESTIMATE = "not seen, profile estimated from data sheets"
    OTHER = "not seen, profile of another engine"

    @property
    def in_sample(self) -> bool:
        """Whether something in the simulation was chosen to agree with such measurements."""
        return self in (Role.FITTED, Role.CHOSEN)


class Case(NamedTuple):
    """One measurement and its simulation, seconds: `batch` equal requests of `length` prompt tokens on a profile."""

    quantity: Quantity
    role: Role
    engine: str
    profile: str
    batch: int
    length: int
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Simulated over measured, less 1: negative where the simulation is too fast."""
        return self.simulated / self.measured - 1

    @property
    def words(self) -> str:
        """Which one it is, such as "16 × 2048 tokens"."""
        return f"{self.batch} × {self.length} tokens"


class Spread(NamedTuple):
    """Errors of a group of cases, shares of the measured latency."""

    num_cases: int
    bias: float
    """Mean, with its sign."""
    mean: float
    """Mean absolute error."""
    p90: float
    """Absolute error that nine in ten do not exceed."""
    within_20: float
    """Share of the cases that are at most 20 % off."""
    worst: Case


def spread(cases: Sequence[Case]) -> Spread:
    """How far the cases are off; ValueError where there are none."""
    if not cases:
        raise ValueError("no cases, no errors")
    errors = np.array([case.error for case in cases])
    size = np.abs(errors)
    return Spread(
        len(cases),
        float(errors.mean()),
        float(size.mean()),
        float(np.quantile(size, 0.9)),
        float((size <= 0.2).mean()),
        max(cases, key=lambda case: abs(case.error)),
    )
