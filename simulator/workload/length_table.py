"""Lengths of real requests: quantile tables that are shipped as data, tied by a Gaussian copula."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.random_streams import uniforms
from simulator.unknown_name import unknown_name
from simulator.workload.lengths import OUTPUT_STREAM, PROMPT_STREAM
from simulator.workload.workload import Floats, Ints

_MAX_DRAWS = 100


class Marginal(BaseModel):
    """The quantiles of one length at `probabilities`, and its sample mean, in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: float = Field(gt=0)
    quantiles: tuple[float, ...]


class LengthTable(BaseModel):
    """Two empirical quantile tables tied by a Gaussian copula of the same rank correlation.

    With z₁, z₂ standard normal, the prompt length is the quantile at Φ(z₁) and the output length that at
    Φ(ρ·z₁ + √(1 − ρ²)·z₂), linear between knots and rounded to whole tokens, at least 1. Plain lognormal
    fits misstate the means of these data by −24 to +77 %.

    max_total: if set, the distribution given that prompt + output ≤ max_total: a request above it is drawn
    anew from the next index of its own streams. `draw` raises ValueError if 100 draws do not do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    description: str
    num_samples: int = Field(ge=1, description="requests behind the quantiles")
    spearman: float = Field(gt=-1, lt=1, description="rank correlation of prompt and output length")
    probabilities: tuple[float, ...] = Field(description="from 0 to 1, increasing")
    prompt: Marginal
    output: Marginal
    source: str = Field(description="repository and commit of the data that were counted")
    licence: str = Field(description="licence of that source")
    max_total: int | None = Field(default=None, ge=2, description="longest prompt + output, tokens")

    @model_validator(mode="after")
    def _check_knots(self) -> LengthTable:
        p = self.probabilities
        if len(p) < 2 or p[0] != 0 or p[-1] != 1 or (np.diff(p) <= 0).any():
            raise ValueError(f"probabilities of length table {self.name} do not increase from 0 to 1")
        for marginal in (self.prompt, self.output):
            knots = marginal.quantiles
            if len(knots) != len(p) or (np.diff(knots) < 0).any() or knots[0] < 1:
                raise ValueError(f"quantiles of length table {self.name} must be {len(p)} non-decreasing numbers ≥ 1")
        return self

    @property
    def copula_rho(self) -> float:
        """Correlation of the normals whose copula has that rank correlation: 2·sin(π·ρ_s/6) (Pearson, 1907)."""
        return float(2 * np.sin(np.pi * self.spearman / 6))

    def draw(self, num_requests: int, seed: int = 0) -> tuple[Ints, Ints]:
        """Prompt and output lengths of requests 0 … n − 1."""
        prompt, output = self._draw_once(num_requests, seed, 0)
        if self.max_total is None:
            return prompt, output
        for index in range(1, _MAX_DRAWS):
            over = np.flatnonzero(prompt + output > self.max_total)
            if not len(over):
                return prompt, output
            again = self._draw_once(int(over[-1]) + 1, seed, index)
            prompt[over], output[over] = again[0][over], again[1][over]
        raise ValueError(
            f"length table {self.name}: {_MAX_DRAWS} draws of request {over[0]} are all longer than "
            f"max_total {self.max_total} tokens"
        )

    def _draw_once(self, num_requests: int, seed: int, index: int) -> tuple[Ints, Ints]:
        from scipy.special import ndtr, ndtri

        u_prompt = uniforms(seed, PROMPT_STREAM, num_requests, index)
        z_output = ndtri(uniforms(seed, OUTPUT_STREAM, num_requests, index))
        rho = self.copula_rho
        u_output = ndtr(rho * ndtri(u_prompt) + np.sqrt(1 - rho**2) * z_output)
        return self._quantile(self.prompt, u_prompt), self._quantile(self.output, u_output)

    def _quantile(self, marginal: Marginal, u: Floats) -> Ints:
        tokens = np.rint(np.interp(u, self.probabilities, marginal.quantiles))
        return np.maximum(tokens, 1).astype(np.int64)


@cache
def _shipped() -> dict[str, Any]:
    text = files("simulator.workload").joinpath("data/lengths.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def length_table_names() -> tuple[str, ...]:
    """The names of the tables that are shipped, sorted."""
    return tuple(sorted(_shipped()["tables"]))


def load_length_table(name: str, max_total: int | None = None) -> LengthTable:
    """A shipped table by name, with the longest prompt + output that it may draw.

    `sharegpt` is the single-turn table: the smooth-goodput and Andes papers set ShareGPT against longer,
    concatenated conversations, and the load tools send the first prompt of a conversation and ask for its
    reply. `sharegpt-multiturn` has the earlier turns in the prompt, and so prompts ten times as long.

    Raises ValueError for an unknown name, with the near matches and the list.
    """
    tables = _shipped()["tables"]
    if name not in tables:
        raise ValueError(unknown_name("length table", name, length_table_names()))
    table = {"probabilities": _shipped()["probabilities"], **tables[name]}
    return LengthTable(name=name, max_total=max_total, **table)
