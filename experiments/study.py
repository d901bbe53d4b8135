"""A study: which policies meet which workload, at which rates, how often, and how they are judged."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from simulator.metrics import SLO, User
from simulator.policy import EngineLimits


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TraceWorkload(_Frozen):
    """Requests replayed from a file, which `sha256` pins if it is given."""

    trace: str = Field(description="path of the trace, as given")
    format: str | None = Field(default=None, description="its format; found from the content if not given")
    sha256: str | None = Field(default=None, description="hash of the file's bytes, hexadecimal")


class SyntheticWorkload(_Frozen):
    """Requests drawn from a length table, arriving by a renewal process."""

    lengths: str = Field(description="name of a length table")
    arrivals: Literal["poisson", "gamma"] = "poisson"
    cv: float | None = Field(default=None, gt=0, description="coefficient of variation of the gamma gaps")

    @model_validator(mode="after")
    def _only_gamma_has_cv(self) -> SyntheticWorkload:
        if (self.arrivals == "gamma") != (self.cv is not None):
            raise ValueError(f"gamma arrivals need a cv and poisson ones have none, got {self.arrivals}, cv {self.cv}")
        return self


def _kind(workload: Any) -> str:
    if isinstance(workload, TraceWorkload) or (isinstance(workload, dict) and "trace" in workload):
        return "trace"
    return "lengths"


def _count_to_list(seeds: Any) -> Any:
    if isinstance(seeds, int) and seeds < 1:
        raise ValueError(f"should be at least 1, got {seeds}")
    return list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds


class StudySpec(_Frozen):
    """Everything that determines the numbers of a study: the same spec gives the same bytes.

    Times in seconds, rates in requests/s. Cells are policies × rates × seeds; the policies of one rate and seed
    get the same workload. A trace without `rates` keeps its own.

    Raises ValidationError on a field that is unknown, missing or out of its range.
    """

    name: str = "study"
    workload: Annotated[
        Annotated[TraceWorkload, Tag("trace")] | Annotated[SyntheticWorkload, Tag("lengths")], Discriminator(_kind)
    ]
    rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    requests: int | None = Field(default=None, ge=1, description="requests of a run; of a trace, the first ones")
    window: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="s: arrivals until then")
    profile: str
    policies: tuple[str, ...] = Field(min_length=1)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_count_to_list), Field(min_length=1)] = (
        0,
    )
    slo: SLO | None = None
    user: User = User()
    limits: EngineLimits = EngineLimits()
    max_concurrency: int | None = Field(default=None, ge=1, description="closed loop: requests at the server at once")
    oversize: Literal["refuse", "reject"] = Field(
        default="refuse", description="a request that can never fit: refuse the run, or count it as failed"
    )

    @field_validator("rates", "policies", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for i, value in enumerate(values):
            if value in values[:i]:
                raise ValueError(f"{value} is given twice")
        return values

    @model_validator(mode="after")
    def _synthetic_is_bounded(self) -> StudySpec:
        if isinstance(self.workload, SyntheticWorkload):
            if not self.rates:
                raise ValueError("a synthetic workload needs at least one rate")
            if (self.requests is None) == (self.window is None):
                raise ValueError("a synthetic workload needs either requests or window")
        if self.window is not None and any(map(math.isinf, self.rates)):
            raise ValueError("an infinite rate needs requests, not window")
        return self

    @property
    def is_replay(self) -> bool:
        """Whether it replays a trace at the trace's own rate."""
        return not self.rates

    def to_yaml(self) -> str:
        """The study with every default spelled out, which `load_study` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
