"""A hardware profile: the latency model of one model on one device at one degree of tensor parallelism."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from hardware_profiles.coefficients import Coefficients, Frozen, Knots, Seconds, SecondsPerSequence
from hardware_profiles.overhead import Overhead
from simulator.latency import RunLatencyModel
from simulator.swap_space import HostLink

NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*/tp[1-9][0-9]*(-[a-z0-9][a-z0-9.-]*)?(\+[a-z0-9][a-z0-9.-]*)*$"

Kind = Literal["measured", "composed", "derived", "estimated"]
Share = Annotated[float, Field(gt=0, le=1.0 + 1e-9)]
Percent = Annotated[float, Field(ge=0)]
Range = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]


class Efficiencies(Frozen):
    """What the coefficients imply as shares of the data sheet's peaks; 1 is the physical bound, null is free."""

    mfu: Share | None = None
    """Arithmetic of the linear layers above the ridge: 2·parameters / (TP·peak FLOP/s) / s_hi."""
    attention_mfu: Share | None = None
    """Arithmetic of prefill attention: 4·layers·heads·head_dim / (TP·peak FLOP/s) / a."""
    weights_bandwidth: Share | None = None
    """Reading the weights once: weight bytes / (TP·HBM bandwidth) / t0."""
    kv_bandwidth: Share | None = None
    """Reading the KV cache: KV bytes per token / (min(TP, KV heads)·HBM bandwidth) / k."""


class KVCapacity(Frozen):
    """How many tokens of KV cache one replica holds, and what that follows from (`datasheets.kv_capacity`)."""

    tokens: PositiveInt
    follows: str


class Source(Frozen):
    """Where the numbers come from."""

    origin: str
    licence: str
    table: str | None = None
    """Tag of the rows fitted on."""
    num_rows: int = Field(default=0, ge=0)
    date: date
    """Day on which the profile was made."""


class Errors(Frozen):
    """Absolute percentage errors of step times, percent, on rows that the fit did not see."""

    folds: PositiveInt
    overall: Percent
    """Mean over all rows, each predicted by the fit on the other folds."""
    by_kind: dict[Literal["prefill", "decode", "hybrid"], Percent]
    p95: Percent
    top_of_range: Percent
    """Mean over the slowest rows of each kind, predicted by the fit on all others."""
    top_of_range_rows: PositiveInt


class CalibratedRange(Frozen):
    """Least and greatest value of what the table's iterations hold; beyond it the profile extrapolates."""

    tokens: Range
    kv_tokens: Range
    prefill_context: Range
    attention_pairs: Range
    num_requests: Range


class Profile(Frozen):
    """How long iterations take and how much KV cache there is, with the source and the error of both.

    `name` is `device/model/tpN`, with `-variant` behind it where several sources know the same thing, and with
    `+table` or `+preset` for what it was combined with.
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: Kind
    device: str
    model: str
    tp: PositiveInt
    form: Literal["piecewise", "table"] = "piecewise"
    """Which latency model `latency` is: that of `coefficients` or that of `table`."""
    coefficients: Coefficients
    kv_capacity: KVCapacity
    efficiencies: Efficiencies = Efficiencies()
    errors: Errors | None = None
    table: Knots | None = None
    table_errors: Errors | None = None
    overhead: str = "none"
    """Name of the overhead preset that suits the source: `none` where CPU time is in it already."""
    calibrated_range: CalibratedRange | None = None
    source: Source
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        expected = f"{self.device}/{self.model}/tp{self.tp}"
        if not (self.name + "-").startswith((expected + "-", expected + "+")):
            raise ValueError(f"name {self.name!r} does not begin with device/model/tp: {expected!r}")
        if self.form == "table" and self.table is None:
            raise ValueError(f"profile {self.name!r} has no table of knots")
        try:
            self.coefficients.latency()
            if self.table is not None:
                self.table.latency(self.coefficients.q0.value, self.coefficients.q1.value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "table"
            raise ValueError(f"no latency model, {place}: {first['msg']}") from None
        return self

    @cached_property
    def latency(self) -> RunLatencyModel:
        """The latency model, ready for the engine."""
        if self.form == "table" and self.table is not None:
            return self.table.latency(self.coefficients.q0.value, self.coefficients.q1.value)
        return self.coefficients.latency()

    @property
    def kv_capacity_tokens(self) -> int:
        """Tokens whose keys and values fit in the memory of one replica."""
        return self.kv_capacity.tokens

    @cached_property
    def host_link(self) -> HostLink | None:
        """What moving a request's cache to host memory takes, by the data sheets; None where they are not known."""
        from hardware_profiles.datasheets import (  # they are read by name, as profiles are
            kv_split,
            load_device,
            load_model,
        )

        try:
            device, model = load_device(self.device), load_model(self.model)
        except (ValueError, OSError):
            return None
        return HostLink(model.kv_bytes_per_token / kv_split(model, self.tp), device.pcie_bytes_per_s)

    def with_table(self) -> Self:
        """The same profile, its latency read from knots; raises ValueError if it has none."""
        if self.table is None:
            raise ValueError(f"profile {self.name!r} has no table of knots")
        return self._changed("table", form="table")

    def with_overhead(self, overhead: Overhead) -> Self:
        """The same profile with the engine overhead of a preset in place of its own."""
        q0, q1 = Seconds(value=overhead.q0_at(self.tp)), SecondsPerSequence(value=overhead.q1.value)
        return self._changed(overhead.name, coefficients=self.coefficients.model_copy(update={"q0": q0, "q1": q1}))

    def _changed(self, suffix: str, **fields: object) -> Self:
        """A checked copy with `suffix` behind its name."""
        own = {name: getattr(self, name) for name in type(self).model_fields}  # dict(self) holds cached properties too
        return type(self).model_validate({**own, **fields, "name": f"{self.name}+{suffix}"})
