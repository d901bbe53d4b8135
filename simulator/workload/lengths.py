"""How long requests are: joint distributions of prompt and output length, in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simulator.random_streams import uniforms
from simulator.workload.workload import Ints

PROMPT_STREAM = "prompt length"
OUTPUT_STREAM = "output length"


class Lengths(Protocol):
    """A joint distribution of prompt and output lengths."""

    @property
    def name(self) -> str:
        """What tables and files call it."""
        ...

    def draw(self, num_requests: int, seed: int = 0) -> tuple[Ints, Ints]:
        """Prompt and output lengths, each (n,), ≥ 1 token; those of request i depend on (seed, i) alone."""
        ...


@dataclass(frozen=True)
class FixedLengths:
    """Every request has the same prompt and output length. Raises ValueError below 1 token."""

    prompt: int
    output: int

    def __post_init__(self) -> None:
        if self.prompt < 1 or self.output < 1:
            raise ValueError(f"lengths must be ≥ 1 token, not {self.prompt} and {self.output}")

    @property
    def name(self) -> str:
        """Both lengths."""
        return f"fixed-{self.prompt}-{self.output}"

    def draw(self, num_requests: int, seed: int = 0) -> tuple[Ints, Ints]:
        """The same lengths for all; `seed` changes nothing."""
        return np.full(num_requests, self.prompt), np.full(num_requests, self.output)


@dataclass(frozen=True)
class GeometricLengths:
    """A fixed prompt length, and geometric output lengths: P(L = k) = p·(1 − p)^(k − 1), p = 1/mean_output.

    Raises ValueError for a prompt or a mean below 1 token, or an infinite mean.
    """

    prompt: int
    mean_output: float

    def __post_init__(self) -> None:
        if not (self.prompt >= 1 and 1 <= self.mean_output < np.inf):
            raise ValueError(f"lengths must be ≥ 1 token and finite, not {self.prompt} and {self.mean_output}")

    @property
    def name(self) -> str:
        """Prompt length and mean output length."""
        return f"geometric-{self.prompt}-{self.mean_output:g}"

    def draw(self, num_requests: int, seed: int = 0) -> tuple[Ints, Ints]:
        """Output lengths by the inverse distribution function of the output stream."""
        u = uniforms(seed, OUTPUT_STREAM, num_requests)
        if self.mean_output == 1:
            output = np.ones(num_requests)
        else:
            output = np.ceil(np.log1p(-u) / np.log1p(-1 / self.mean_output))
        return np.full(num_requests, self.prompt), np.maximum(output, 1).astype(np.int64)
