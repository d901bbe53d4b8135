"""What a capacity is asked for: bounds on metrics that a run has to keep, or the peak of one metric."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, isfinite
from typing import TypeAlias

Values: TypeAlias = Mapping[str, float]
"""The summary of a run by name (`simulator.metrics.summary_values` and what `experiments.cells` adds)."""

_PEAK = "peak:"
_BOUND = re.compile(r"([a-z0-9_]+)\s*(>=|<=)\s*(\S+)")
_SHORT = {
    "smooth_goodput": "smooth_goodput_tokens_per_s_window",
    "goodput": "goodput_requests_per_s_window",
}
"""Scores by the names that people use: per second of the arrival window, as `smoothserve compare` shows them."""


def is_stable(values: Values) -> bool:
    """Whether the backlog of the run did not grow with its length; a run that cannot tell counts as stable."""
    return not values["unstable"] > 0


@dataclass(frozen=True)
class Bound:
    """A metric that has to be at most, or at least, a value in the metric's own unit; equality meets it."""

    metric: str
    at_most: bool
    value: float

    def holds(self, values: Values) -> bool:
        """Whether the run meets it; an undefined metric meets nothing."""
        found = values[self.metric]
        return found <= self.value if self.at_most else found >= self.value


@dataclass(frozen=True)
class Keep:
    """Every one of its bounds holds, in a stable run."""

    bounds: tuple[Bound, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it looks at."""
        return tuple(bound.metric for bound in self.bounds)

    def holds(self, values: Values) -> bool:
        """Whether a run with these values keeps the condition."""
        return is_stable(values) and all(bound.holds(values) for bound in self.bounds)

    def __str__(self) -> str:
        return " and ".join(f"{b.metric}{'<=' if b.at_most else '>='}{b.value:.12g}" for b in self.bounds)


@dataclass(frozen=True)
class Peak:
    """The metric is as high as it gets, among stable runs."""

    metric: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric that it looks at."""
        return (self.metric,)

    def score(self, values: Values) -> float:
        """The metric; minus infinity where the run is unstable or the metric undefined."""
        found = values[self.metric]
        return found if is_stable(values) and isfinite(found) else -inf

    def __str__(self) -> str:
        short = {full: name for name, full in _SHORT.items()}
        return f"{_PEAK}{short.get(self.metric, self.metric)}"


Condition: TypeAlias = Keep | Peak


def parse_condition(text: str, known: Collection[str]) -> Condition:
    """The condition that `text` spells: bounds joined by "and" or commas, or "peak:" and a metric.

    For instance "slo_attainment>=0.9", "tbt_p99<=0.2 and scheduling_delay_p50<=2", "peak:smooth_goodput". Values are
    in the metric's unit, so seconds for latencies. goodput and smooth_goodput are those per second of the arrival
    window. known: names of the metrics. Raises ValueError naming the part that is wrong.
    """
    if text.strip().startswith(_PEAK):
        return Peak(_metric(text.strip().removeprefix(_PEAK).strip(), text, known))
    parts = [part.strip() for part in re.split(r",|\band\b", text)]
    return Keep(tuple(_bound(part, text, known) for part in parts))


def _bound(part: str, text: str, known: Collection[str]) -> Bound:
    match = _BOUND.fullmatch(part)
    if match is None:
        raise ValueError(f"condition {text!r}: {part!r} is not of the form metric>=value, metric<=value or peak:metric")
    try:
        value = float(match[3])
    except ValueError:
        value = inf
    if not isfinite(value):
        raise ValueError(f"condition {text!r}: {match[3]!r} is not a finite number")
    return Bound(_metric(match[1], text, known), match[2] == "<=", value)


def _metric(name: str, text: str, known: Collection[str]) -> str:
    full = _SHORT.get(name, name)
    if full in known:
        return full
    near = get_close_matches(name, known, n=3) or [other for other in known if name and name in other][:3]
    hint = f", did you mean {' or '.join(near)}?" if near else "; there are the columns of summary.csv, such as tbt_p99"
    raise ValueError(f"condition {text!r}: unknown metric {name!r}{hint}")
