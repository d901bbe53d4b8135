"""Rows of a capacity study: what all seeds together say of a condition, for one policy on one profile."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from experiments.capacity.conditions import Condition, Keep, is_stable
from experiments.capacity.good_tokens import good_tokens_name, good_tokens_per_s
from experiments.capacity.seeds import Evaluation, SeedCapacity
from experiments.intervals import Interval, interval
from experiments.json_numbers import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Outcome: TypeAlias = Literal["found", "never", "above"]
_PER_MILLION = 1e6
_HOUR = 3600.0


class CapacityRow(NamedTuple):
    """The capacity of one policy on one profile by one condition.

    num_gpus: GPUs of a replica. price: USD per hour of one of them, None where nobody said. seeds: what each found, in
    the order of seeds. evaluations: the runs behind it, by seed.
    """

    condition: Condition
    profile: str
    policy: str
    num_gpus: int
    price: float | None
    seeds: tuple[SeedCapacity, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]

    @property
    def outcome(self) -> Outcome:
        """Whether there is a capacity: "never" if no seed keeps the condition, "above" if one keeps it everywhere."""
        if any(not isfinite(each.bracket.high) for each in self.seeds):
            return "above"
        return "found" if any(each.bracket.low for each in self.seeds) else "never"

    @property
    def capacity(self) -> Interval:
        """Requests/s per replica: the mean over seeds, and its 95 % half-width.

        The half-width is Student's for the middles of the brackets, and half the mean width of a bracket on top of it,
        which bounds what bisection has left open. A seed that never keeps the condition counts as 0. Where the outcome
        is "never" the mean is 0, where it is "above" it is a lower bound, and neither has a half-width.
        """
        mean, half_width = interval(self.samples())
        if self.outcome != "found":
            return Interval(mean, nan)
        return Interval(mean, half_width + float(np.mean([each.resolution for each in self.seeds])))

    @property
    def good_tokens_per_s(self) -> Interval:
        """Of a replica at its capacity (`good_tokens.good_tokens_per_s`), the mean over seeds.

        Of the run at the highest rate that keeps the condition, or of the best run found for a peak; NaN if a seed has
        none.
        """
        return interval(self._good_tokens())

    @property
    def cost_per_million_good_tokens(self) -> Interval:
        """USD: price · GPUs / 3600 s / mean good tokens per second · 10⁶; NaN without a price or without tokens.

        The relative half-width is that of the good tokens (delta method).
        """
        tokens = self.good_tokens_per_s
        if self.price is None or not tokens.mean > 0:
            return Interval(nan, nan)
        cost = _PER_MILLION * self.price * self.num_gpus / _HOUR / tokens.mean
        return Interval(cost, cost * tokens.half_width / tokens.mean)

    def samples(self) -> list[float]:
        """The rate of each seed, requests/s."""
        return [each.rate for each in self.seeds]

    def rates_tried(self) -> tuple[float, float]:
        """The lowest and the highest rate at which anything ran, requests/s."""
        rates = [run.rate for runs in self.evaluations for run in runs]
        return min(rates), max(rates)

    def _good_tokens(self) -> list[float]:
        return [good_tokens_per_s(self.condition, each.values) if each.values else nan for each in self.seeds]


def capacity_frame(table: Sequence[CapacityRow]) -> pd.DataFrame:
    """A row per condition, profile and policy; requests/s, tokens/s and USD."""
    import pandas as pd

    return pd.DataFrame.from_records([_record(row) for row in table])


def json_row(row: CapacityRow) -> dict[str, Any]:
    """The row as plain JSON, undefined numbers as null; `seeds` holds the bracket of each."""
    record = {name: plain(value) if isinstance(value, float) else value for name, value in _record(row).items()}
    seeds = [
        {"seed": each.seed, "low": plain(each.bracket.low), "high": plain(each.bracket.high)} for each in row.seeds
    ]
    return record | {"seeds": seeds}


def evaluation_frame(table: Sequence[CapacityRow]) -> pd.DataFrame:
    """A row per condition, profile, policy, seed and rate that was simulated: stable or not, kept or not, the values.

    A run stands there once for every condition. kept is missing for a peak.
    """
    import pandas as pd

    records = [
        {
            "condition": str(row.condition),
            "profile": row.profile,
            "policy": row.policy,
            "seed": found.seed,
            "rate": run.rate,
            "kept": row.condition.holds(run.values) if isinstance(row.condition, Keep) else None,
            "stable": is_stable(run.values),
            **run.values,
        }
        for row in table
        for found, runs in zip(row.seeds, row.evaluations, strict=True)
        for run in runs
    ]
    return pd.DataFrame.from_records(records).astype({"kept": "boolean"})


def _record(row: CapacityRow) -> dict[str, Any]:
    capacity, tokens, cost = row.capacity, row.good_tokens_per_s, row.cost_per_million_good_tokens
    return {
        "condition": str(row.condition),
        "profile": row.profile,
        "policy": row.policy,
        "num_gpus": row.num_gpus,
        "num_seeds": len(row.seeds),
        "outcome": row.outcome,
        "capacity": capacity.mean,
        "capacity_half_width": capacity.half_width,
        "capacity_per_gpu": capacity.mean / row.num_gpus,
        "good_tokens": good_tokens_name(row.condition),
        "good_tokens_per_s": tokens.mean,
        "good_tokens_per_s_half_width": tokens.half_width,
        "usd_per_gpu_hour": nan if row.price is None else row.price,
        "cost_per_million_good_tokens": cost.mean,
        "cost_per_million_good_tokens_half_width": cost.half_width,
        "num_dips": sum(each.dips for each in row.seeds),
    }
