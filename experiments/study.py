"""A study: which policies meet which workload, at which rates, how often, and how they are judged."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Literal, Self

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
from simulator.workload import Arrivals, BurstCycle, GammaArrivals, Impatience, PoissonArrivals, RequestClass

MAX_SEEDS = 100_000
MAX_REQUESTS = 50_000_000
"""Of one run: more than any machine holds."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TraceWorkload(_Frozen):
    """Requests replayed from a file, which `sha256` pins if it is given."""

    trace: str = Field(description="path of the trace, as given")
    format: str | None = Field(default=None, description="its format; found from the content if not given")
    sha256: str | None = Field(default=None, description="hash of the file's bytes, hexadecimal")


class _Arrivals(_Frozen):
    arrivals: Literal["poisson", "gamma", "burst"] = "poisson"
    cv: float | None = Field(default=None, gt=0, description="coefficient of variation of the gamma gaps")
    height: float | None = Field(default=None, ge=1, description="rate in a burst over the mean rate; 2 if not given")
    width: float | None = Field(default=None, gt=0, lt=1, description="share of a cycle that is burst; 0.35")
    period: float | None = Field(default=None, gt=0, description="s: length of a burst cycle; 1200")

    @model_validator(mode="after")
    def _suits_its_process(self) -> Self:
        if (self.arrivals == "gamma") != (self.cv is not None):
            raise ValueError(f"gamma arrivals need a cv and poisson ones have none, got {self.arrivals}, cv {self.cv}")
        if self.arrivals != "burst" and self._cycle():
            raise ValueError(f"{', '.join(self._cycle())}: of burst arrivals, got {self.arrivals}")
        return self

    def _cycle(self) -> dict[str, float]:
        cycle = {"height": self.height, "width": self.width, "period": self.period}
        return {name: value for name, value in cycle.items() if value is not None}

    def process(self, rate: float) -> Arrivals:
        """The arrival process at `rate` requests/s."""
        if self.arrivals == "burst":
            return BurstCycle(rate, **self._cycle())
        return PoissonArrivals(rate) if self.cv is None else GammaArrivals(rate, self.cv)


class SyntheticWorkload(_Arrivals):
    """Requests drawn from a length table."""

    lengths: str = Field(description="name of a length table")


class MixedWorkload(_Arrivals):
    """Requests of several classes in one stream, each with lengths and users of its own."""

    classes: tuple[RequestClass, ...] = Field(min_length=1)

    @field_validator("classes")
    @classmethod
    def _distinct_names(cls, classes: tuple[RequestClass, ...]) -> tuple[RequestClass, ...]:
        names = [each.name for each in classes]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f"{name} is the name of two classes")
        return classes


def _kind(workload: Any) -> str:
    if isinstance(workload, TraceWorkload) or (isinstance(workload, dict) and "trace" in workload):
        return "trace"
    if isinstance(workload, MixedWorkload) or (isinstance(workload, dict) and "classes" in workload):
        return "classes"
    return "lengths"


def _count_to_list(seeds: Any) -> Any:
    if isinstance(seeds, int) and not 1 <= seeds <= MAX_SEEDS:
        raise ValueError(f"should be from 1 to {MAX_SEEDS}, got {seeds}")
    return list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds


def _warmup(value: Any) -> Any:
    if value == "mser5":
        return value
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < math.inf:
        raise ValueError(f"should be seconds, 0 or more, or mser5, got {value!r}")
    return seconds


def _impatience(value: Any) -> Any:
    return Impatience.parse(str(value)) if isinstance(value, str | int | float) else value


class StudySpec(_Frozen):
    """Everything that determines the numbers of a study: the same spec gives the same bytes.

    Times in seconds, rates in requests/s. Cells are policies × rates × seeds; the policies of one rate and seed
    get the same workload. A policy is a spec as for `experiments.contender.contender`. A trace without `rates`
    keeps its own.

    Raises ValidationError on a field that is unknown, missing or out of its range.
    """

    name: str = "study"
    workload: Annotated[
        Annotated[TraceWorkload, Tag("trace")]
        | Annotated[SyntheticWorkload, Tag("lengths")]
        | Annotated[MixedWorkload, Tag("classes")],
        Discriminator(_kind),
    ]
    rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    requests: int | None = Field(default=None, ge=1, description="requests of a run; of a trace, the first ones")
    window: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="s: arrivals until then")
    profile: str
    policies: tuple[str, ...] = Field(min_length=1)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_count_to_list), Field(min_length=1)] = (
        0,
    )
    precision: float | None = Field(
        default=None, gt=0, lt=1, description="seeds are added until scores are known to this share of themselves"
    )
    max_seeds: int = Field(default=50, ge=2, description="seeds up to which precision adds some")
    warmup: Annotated[float | Literal["mser5"], BeforeValidator(_warmup)] = Field(
        default=0.0, description="s: requests that arrive before are not judged; mser5 finds it for each workload"
    )
    slo: SLO | None = None
    user: User = User()
    impatience: Annotated[Impatience | None, BeforeValidator(_impatience)] = Field(
        default=None, description="how long users wait for a first token before they leave; for ever if not given"
    )
    prediction_sigma: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="policies see output lengths with this lognormal error"
    )
    delivery: str = Field(default="immediate", description="how tokens reach users, where a policy does not say")
    limits: EngineLimits = EngineLimits()
    max_concurrency: int | None = Field(default=None, ge=1, description="closed loop: requests at the server at once")
    oversize: Literal["refuse", "reject"] = Field(
        default="refuse", description="a request that can never fit: refuse the run, or count it as failed"
    )

    @field_validator("rates", "policies", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise ValueError(f"{twice[0]} is given twice")
        return values

    @model_validator(mode="after")
    def _synthetic_is_bounded(self) -> Self:
        if not isinstance(self.workload, TraceWorkload):
            if not self.rates:
                raise ValueError("a synthetic workload needs at least one rate")
            if (self.requests is None) == (self.window is None):
                raise ValueError("a synthetic workload needs either requests or window")
        if self.window is not None and any(map(math.isinf, self.rates)):
            raise ValueError("an infinite rate needs requests, not window")
        most = self.requests or max(self.rates, default=0.0) * (self.window or 0.0)
        if most > MAX_REQUESTS:
            raise ValueError(f"{most:,.0f} requests in a run, there may be {MAX_REQUESTS:,}")
        return self

    @model_validator(mode="after")
    def _warmup_leaves_the_same_requests(self) -> Self:
        if not self.warmup:
            return self
        if self.is_replay:
            raise ValueError("warmup: a trace at its own rate keeps all its requests; give rates, or no warmup")
        if self.max_concurrency is not None:
            raise ValueError("warmup: in a closed loop each policy's requests arrive at other times; give no warmup")
        if any(map(math.isinf, self.rates)):
            raise ValueError("warmup: at an infinite rate all requests arrive at once; give no warmup")
        if self.window is not None and self.warmup != "mser5" and self.warmup >= self.window:
            raise ValueError(f"warmup: {self.warmup:g} s leave nothing of a window of {self.window:g} s")
        return self

    @model_validator(mode="after")
    def _seeds_within_their_cap(self) -> Self:
        if self.precision is not None and len(self.seeds) > self.max_seeds:
            raise ValueError(f"max_seeds: {self.max_seeds} is below the {len(self.seeds)} seeds that the study has")
        return self

    @model_validator(mode="after")
    def _promises_all_or_none(self) -> Self:
        if isinstance(self.workload, MixedWorkload) and self.slo is None:
            without = [each.name for each in self.workload.classes if each.slo is None]
            if 0 < len(without) < len(self.workload.classes):
                raise ValueError(f"class {without[0]} has no SLO while others do: give it one, or the study")
        return self

    @property
    def is_replay(self) -> bool:
        """Whether it replays a trace at the trace's own rate."""
        return not self.rates

    def to_yaml(self) -> str:
        """The study with every default spelled out, which `load_study` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
