"""The coefficients of a latency model, each with its unit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from hardware_profiles.table_latency import TableLatency
from simulator.latency import PiecewiseLinearLatency


class Frozen(BaseModel):
    """A record that is checked when it is made and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Seconds(Frozen):
    """A time."""

    value: float = Field(ge=0)
    unit: Literal["s"] = "s"


class SecondsPerToken(Frozen):
    """A time for each token."""

    value: float = Field(ge=0)
    unit: Literal["s/token"] = "s/token"


class SecondsPerPair(Frozen):
    """A time for each query–key pair."""

    value: float = Field(ge=0)
    unit: Literal["s/pair"] = "s/pair"


class SecondsPerSequence(Frozen):
    """A time for each request in the batch."""

    value: float = Field(ge=0)
    unit: Literal["s/sequence"] = "s/sequence"


class Tokens(Frozen):
    """A number of tokens."""

    value: float = Field(ge=0)
    unit: Literal["tokens"] = "tokens"


class Ratio(Frozen):
    """A number without a unit."""

    value: float = Field(ge=0)
    unit: Literal["ratio"] = "ratio"


class Coefficients(Frozen):
    """The coefficients of `simulator.latency.PiecewiseLinearLatency`; engine overhead is combined with it later."""

    t0: Seconds
    s_lo: SecondsPerToken
    s_hi: SecondsPerToken
    n_ridge: Tokens
    k: SecondsPerToken
    kp: SecondsPerToken
    a: SecondsPerPair
    m: Ratio = Ratio(value=0.0)
    q0: Seconds = Seconds(value=0.0)
    q1: SecondsPerSequence = SecondsPerSequence(value=0.0)

    @classmethod
    def of(cls, latency: PiecewiseLinearLatency) -> Self:
        """The coefficients of `latency`."""
        return cls.model_validate({name: {"value": value} for name, value in latency})

    def latency(self) -> PiecewiseLinearLatency:
        """The latency model that has these coefficients."""
        return PiecewiseLinearLatency(**{name: quantity.value for name, quantity in self})


class Knots(Frozen):
    """The coefficients of `hardware_profiles.table_latency.TableLatency`: times of the linear layers at knots."""

    tokens: tuple[float, ...]
    seconds: tuple[float, ...]
    k: SecondsPerToken
    kp: SecondsPerToken
    a: SecondsPerPair
    m: Ratio = Ratio(value=0.0)

    @classmethod
    def of(cls, latency: TableLatency) -> Self:
        """The knots and coefficients of `latency`, without engine overhead."""
        attention = {name: {"value": getattr(latency, name)} for name in ("k", "kp", "a", "m")}
        return cls.model_validate({"tokens": latency.tokens, "seconds": latency.seconds, **attention})

    def latency(self, q0: float, q1: float) -> TableLatency:
        """The latency model with these knots and an engine overhead of q0 seconds and q1 seconds a sequence."""
        attention = {"k": self.k.value, "kp": self.kp.value, "a": self.a.value, "m": self.m.value}
        return TableLatency(tokens=self.tokens, seconds=self.seconds, **attention, q0=q0, q1=q1)
