"""Service-level objectives as token deadlines: who met them, what share did, and goodput."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, DecimalException
from math import isfinite
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.metrics import ragged
from simulator.metrics.deadlines import worst_lateness
from simulator.metrics.periods import per_second
from simulator.metrics.ragged import Bools
from simulator.metrics.slo_presets import preset
from simulator.token_log import Floats, Ints, Status, TokenTimes

_SPELLINGS = {
    "ttft": "ttft",
    "tbt": "tbt",
    "itl": "tbt",
    "tpot": "tpot",
    "e2e": "e2e",
    "e2el": "e2e",
    "speed": "speed",
}


class SLO(BaseModel):
    """Bounds that a request meets if each of its tokens is there by its deadline; absent ones do not bind.

    Raises ValueError for a bound that is negative or not finite, and if there is none at all.
    Source: arXiv 2410.14257, eq. 1–4.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ttft: float | None = Field(default=None, ge=0, description="s: d_1 = s + ttft")
    tbt: float | None = Field(default=None, ge=0, description="s: d_i = t_(i−1) + tbt")
    tpot: float | None = Field(default=None, ge=0, description="s: d_n = t_1 + (n − 1)·tpot")
    e2e: float | None = Field(default=None, ge=0, description="s: d_n = s + e2e")
    speed: float | None = Field(default=None, gt=0, description="tokens/s: d_i = s + i/speed, the paper's new SLO")

    @model_validator(mode="after")
    def _binds(self) -> Self:
        if all(bound is None for _, bound in self):
            raise ValueError("an SLO needs at least one bound")
        return self

    @classmethod
    def parse(cls, texts: str | Iterable[str]) -> SLO:
        """Read bounds as load tools spell them: "ttft:1000,tbt:100", in milliseconds; "speed:5" in tokens/s.

        Several texts add up. itl means tbt, e2el means e2e. A part may also be the name of one of
        `slo_presets.PRESETS`, such as "distserve/chat-13b". Raises ValueError naming the offending part.
        """
        bounds: dict[str, float] = {}
        for text in [texts] if isinstance(texts, str) else texts:
            for part in text.split(","):
                for name, value in _parse_part(part.strip()):
                    if name in bounds:
                        raise ValueError(f"SLO {part.strip()!r}: {name} is bounded twice")
                    bounds[name] = value
        if not bounds:
            raise ValueError("an SLO needs at least one bound, such as ttft:1000")
        return cls(**bounds)

    def spell(self) -> str:
        """The text that `parse` reads back to an equal SLO."""
        return ",".join(f"{name}:{_spell_bound(name, bound)}" for name, bound in self if bound is not None)


def slo_met(slo: SLO, tokens: TokenTimes, arrival: Floats, status: Ints) -> Bools:
    """Whether each request met every bound, (n,); equality meets.

    A request that was dropped, failed or never finished meets none, nor does one without tokens. With one
    token there is no gap to bound, so tbt and tpot hold. Deadlines are compared, not differences: a token
    delivered at the float t + tbt meets tbt, whatever the rounding of the difference.
    """
    first, last = ragged.first(*tokens), ragged.last(*tokens)
    met: Bools = (status == Status.FINISHED) & (np.diff(tokens.offsets) > 0)
    if slo.ttft is not None:
        met &= first <= arrival + slo.ttft
    if slo.tbt is not None:
        met &= ~_any_gap_exceeds(slo.tbt, tokens)
    if slo.tpot is not None:
        met &= last <= first + (np.diff(tokens.offsets) - 1) * slo.tpot
    if slo.e2e is not None:
        met &= last <= arrival + slo.e2e
    if slo.speed is not None:
        met &= worst_lateness(tokens, arrival, slo.speed) <= 0.0
    return met


def slo_attainment(met: Bools) -> float:
    """Share of all requests sent that met the SLO (eq. 6); NaN without requests."""
    return float(met.mean()) if len(met) else float("nan")


def slo_attainment_completed(met: Bools, status: Ints) -> float:
    """Share of the finished requests that met the SLO; NaN if none finished."""
    return slo_attainment(met[status == Status.FINISHED])


def goodput_requests(met: Bools, period: float) -> float:
    """Requests that met the SLO, per second of `period` (eq. 7 in words); NaN unless that is positive."""
    return per_second(int(met.sum()), period)


def goodput_tokens(met: Bools, num_tokens: Ints, period: float) -> float:
    """Output tokens of requests that met the SLO, per second of `period` (eq. 7 as printed)."""
    return per_second(int(num_tokens[met].sum()), period)


def _any_gap_exceeds(bound: float, tokens: TokenTimes) -> Bools:
    late = ~ragged.starts(tokens.offsets)
    late[1:] &= tokens.times[1:] > tokens.times[:-1] + bound
    exceeds: Bools = ragged.reduce(np.logical_or, late, tokens.offsets, empty=False)
    return exceeds


def _parse_part(part: str) -> Iterable[tuple[str, float]]:
    return preset(part).items() if "/" in part and ":" not in part else [_parse_bound(part)]


def _parse_bound(part: str) -> tuple[str, float]:
    key, colon, text = part.partition(":")
    name = _SPELLINGS.get(key.strip().lower())
    if not colon:
        raise ValueError(f"SLO {part!r} is not of the form name:milliseconds")
    if name is None:
        raise ValueError(f"SLO {part!r}: unknown bound {key.strip()!r}; known: {', '.join(_SPELLINGS)}")
    try:
        value = float(Decimal(text.strip()).scaleb(0 if name == "speed" else -3))
    except (DecimalException, OverflowError, ValueError):
        raise ValueError(f"SLO {part!r}: {text.strip()!r} is not a number") from None
    if not isfinite(value) or value < 0 or (name == "speed" and value == 0):
        rule = "positive" if name == "speed" else "≥ 0"
        raise ValueError(f"SLO {part!r}: {text.strip()!r} must be finite and {rule}")
    return name, value


def _spell_bound(name: str, bound: float) -> str:
    exact = Decimal(repr(bound)).scaleb(0 if name == "speed" else 3)
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
