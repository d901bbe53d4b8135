"""The searches of one seed: every condition on the same runs, each rate simulated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan
from typing import NamedTuple

from experiments.capacity.conditions import Condition, Keep, Peak, Values
from experiments.capacity.search import Bracket, SearchSettings, highest_kept, highest_score


class Evaluation(NamedTuple):
    """A run at a rate, requests/s, and its summary."""

    rate: float
    values: Values


class SeedCapacity(NamedTuple):
    """What one seed says of a condition: the bracket found, and the values of the run that stands for it.

    values: of the run at `bracket.at`, empty where there is none. dips: whether a rate above the bracket keeps the
    condition again.
    """

    seed: int
    bracket: Bracket
    values: Values
    dips: bool = False

    @property
    def rate(self) -> float:
        """The middle of the bracket, requests/s; 0 if no rate will do, and the highest tried if all do."""
        low, high, _ = self.bracket
        if low == 0:
            return 0.0
        return (low + high) / 2 if isfinite(high) else low

    @property
    def resolution(self) -> float:
        """Half the width of the bracket, requests/s: how far the rate looked for may be from `rate`."""
        low, high, _ = self.bracket
        return (high - low) / 2 if low and isfinite(high) else 0.0


class SeedSearch(NamedTuple):
    """All that was found with one seed: an answer to each condition, and the runs in the order of their rates."""

    answers: tuple[SeedCapacity, ...]
    evaluations: tuple[Evaluation, ...]


def search_seed(
    evaluate: Callable[[float], Values],
    conditions: Sequence[Condition],
    seed: int,
    start: float,
    settings: SearchSettings | None = None,
) -> SeedSearch:
    """The answers of one seed to all conditions.

    evaluate: the summary of a run of this seed at a rate, requests/s, the same whenever it is asked; it is asked once
    for each rate. start: the rate at which searches begin. Raises ValueError for a condition on a metric that is
    undefined in every run.
    """
    settings = settings or SearchSettings()
    runs: dict[float, Values] = {}

    def values(rate: float) -> Values:
        if rate not in runs:
            runs[rate] = evaluate(rate)
        return runs[rate]

    brackets = [_bracket(condition, values, start, settings) for condition in conditions]
    for condition in conditions:
        _refuse_undefined(condition, list(runs.values()))
    answers = [_answer(c, seed, found, runs) for c, found in zip(conditions, brackets, strict=True)]
    return SeedSearch(tuple(answers), tuple(Evaluation(rate, runs[rate]) for rate in sorted(runs)))


def _bracket(
    condition: Condition, values: Callable[[float], Values], start: float, settings: SearchSettings
) -> Bracket:
    if isinstance(condition, Peak):
        return highest_score(lambda rate: condition.score(values(rate)), start, settings)
    return highest_kept(lambda rate: condition.holds(values(rate)), start, settings)


def _answer(condition: Condition, seed: int, found: Bracket, runs: dict[float, Values]) -> SeedCapacity:
    dips = isinstance(condition, Keep) and any(
        condition.holds(values) for rate, values in runs.items() if rate > found.high
    )
    return SeedCapacity(seed, found, runs[found.at] if found.at is not None else {}, dips)


def _refuse_undefined(condition: Condition, runs: Sequence[Values]) -> None:
    for metric in condition.metrics:
        if all(isnan(values[metric]) for values in runs):
            raise ValueError(f"condition {str(condition)!r}: {metric} is undefined in every run; does it need an SLO?")
