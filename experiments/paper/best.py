"""Policies ranked by a metric, those that paired runs cannot tell apart sharing a rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from experiments.best_of import best_of
from experiments.paper.runs import Runs
from simulator.token_log import Floats


class Metric(NamedTuple):
    """A quantity of `summary_values` by which policies are ranked: what to call it, its key and its unit."""

    words: str
    key: str
    unit: str
    higher_is_better: bool = True


def samples(runs: Runs, rate: float, metric: Metric) -> dict[str, Floats]:
    """The metric of each policy at a rate, a value per seed."""
    return {policy: runs.samples(policy, rate, metric.key) for policy in runs.policies}


def best_set(runs: Runs, rate: float, metric: Metric) -> tuple[str, ...]:
    """The policies that may be the best (`best_of`), the best mean first."""
    found = samples(runs, rate, metric)
    return best_of({p: v.tolist() for p, v in found.items()}, higher_is_better=metric.higher_is_better).names


def ranks(values: Mapping[str, Floats], *, higher_is_better: bool = True) -> dict[str, int]:
    """The rank of each policy, from 1, by its values per seed.

    Those that may be the best (`best_of`) share rank 1; of the rest, those that may be the best of the rest share
    the next one, which is 1 + the number of policies before them; and so on.
    """
    found: dict[str, int] = {}
    left = {policy: sample.tolist() for policy, sample in values.items()}
    while left:
        rank = len(found) + 1
        for policy in best_of(left, higher_is_better=higher_is_better).names:
            found[policy] = rank
            del left[policy]
    return found
