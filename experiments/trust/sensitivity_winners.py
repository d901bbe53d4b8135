"""The policies that each metric chooses, before and after a change."""

from __future__ import annotations

from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

from experiments.paper.best import Metric, best_set, ranks, samples
from experiments.paper.ranking import METRICS
from experiments.paper.runs import Runs
from experiments.trust.sensitivity_conclusions import MIXED
from experiments.trust.sensitivity_runs import Sensitivity


class Winner(IntEnum):
    """What became of the policies that may be the best."""

    KEPT = 0
    """They are the same."""
    OVERLAPS = 1
    """Some are the same: a tie was broken, or one arose."""
    OTHER = 2
    """None is the same."""


class Cell(NamedTuple):
    """One metric at one rate after one change."""

    winner: Winner
    agreement: float
    """Of the pairs of policies that the base tells apart: share in the same order, less share in the reverse one."""


def compared(base: Runs, after: Runs, rate: float, metric: Metric) -> Cell:
    """What a change did to a metric's choice, and to the order of all policies."""
    before, now = set(best_set(base, rate, metric)), set(best_set(after, rate, metric))
    winner = Winner.KEPT if before == now else Winner.OVERLAPS if before & now else Winner.OTHER
    return Cell(winner, agreement(_ranks(base, rate, metric), _ranks(after, rate, metric)))


def agreement(before: dict[str, int], after: dict[str, int]) -> float:
    """Kendall's concordance over the pairs with different ranks before; a tie after counts 0. 1 without such pairs."""
    pairs = [(a, b) for a, b in combinations(before, 2) if before[a] != before[b]]
    signs = [_sign(before[a] - before[b]) * _sign(after[a] - after[b]) for a, b in pairs]
    return sum(signs) / len(signs) if signs else 1.0


def cells(found: Sensitivity, rate: float) -> list[list[Cell]]:
    """A row for each change and a column for each metric, at a rate of the mixed traffic."""
    return [[compared(found.base[MIXED], runs[MIXED], rate, m) for m in METRICS] for _, runs in found.changes]


def _ranks(runs: Runs, rate: float, metric: Metric) -> dict[str, int]:
    return ranks(samples(runs, rate, metric), higher_is_better=metric.higher_is_better)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
