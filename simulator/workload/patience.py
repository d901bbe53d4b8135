"""Impatient clients: how long each user waits for a first token before leaving."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from simulator.random_streams import uniforms
from simulator.unknown_name import unknown_name
from simulator.workload.workload import Workload

STREAM = "patience"
"""Name of the random stream from which every patience comes."""

_DISTRIBUTIONS = ("exponential", "constant")


class Impatience(BaseModel):
    """Users leave when they have waited so long without a first token: the same time each, or exponentially spread.

    Exponential patience is that of Erlang-A (Palm, 1957; Garnett, Mandelbaum and Reiman, M&SOM 4, 2002): whoever
    has waited is no more and no less likely to leave in the next second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: float = Field(gt=0, description="s: mean patience")
    distribution: Literal["exponential", "constant"] = "exponential"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "30" or "exponential:30" or "constant:30", seconds. Raises ValueError naming what it cannot read."""
        kind, colon, number = text.partition(":")
        if not colon:
            kind, number = "exponential", text
        if kind not in _DISTRIBUTIONS:
            raise ValueError(unknown_name("distribution of patience", kind, _DISTRIBUTIONS))
        try:
            mean = float(number)
        except ValueError:
            raise ValueError(f"patience {number!r} is not a number of seconds") from None
        if not 0 < mean < np.inf:
            raise ValueError(f"patience {number!r} must be positive and finite")
        return cls.model_validate({"mean": mean, "distribution": kind})


def with_patience(workload: Workload, impatience: Impatience, seed: int = 0) -> Workload:
    """The same requests, whose users leave unless their first token comes in time.

    The patience of a request depends on (seed, request id) alone, so those of two means are the same ones scaled.
    """
    n = len(workload)
    unit = np.ones(n) if impatience.distribution == "constant" else -np.log1p(-uniforms(seed, STREAM, n))
    origin = {**workload.origin, "impatience": impatience.model_dump(), "patience_seed": seed}
    return replace(workload, patience=impatience.mean * unit, origin=origin)
