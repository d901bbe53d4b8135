"""What a capacity study says in words: which policy has the most capacity, and where a number needs a caveat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import isfinite

from experiments.best_of import best_of
from experiments.capacity.conditions import Keep
from experiments.capacity.rows import CapacityRow
from experiments.claims import NEGLIGIBLE
from experiments.intervals import Interval
from experiments.labels import short_names
from experiments.numbers import number, with_half_width


def by_condition(table: Sequence[CapacityRow]) -> Iterator[tuple[str, list[CapacityRow]]]:
    """The rows of each condition, with how it is spelled."""
    for condition, rows in groupby(table, lambda row: row.condition):
        yield str(condition), list(rows)


def capacity_words(row: CapacityRow) -> str:
    """The capacity with its half-width; "none" where the condition never holds, and a bound where it always does."""
    if row.outcome == "never":
        return "none"
    return f"> {number(row.capacity.mean)}" if row.outcome == "above" else interval_words(row.capacity)


def interval_words(value: Interval) -> str:
    """A mean with its half-width, where it has one."""
    return with_half_width(*value) if isfinite(value.half_width) else number(value.mean)


def verdict(table: Sequence[CapacityRow]) -> list[str]:
    """A sentence for each condition and profile with several policies: who has the most capacity, or a tie.

    Which policies may be the best is for `experiments.best_of` to say, on the rates that the seeds found; differences
    that are less than the width of a bracket count as none.
    """
    sentences = []
    several = len({row.profile for row in table}) > 1
    for spelled, rows in by_condition(table):
        for profile, group in groupby(rows, lambda row: row.profile):
            ranked = sorted(group, key=lambda row: row.capacity.mean, reverse=True)
            if len(ranked) > 1:
                where = f" on {profile}" if several else ""
                sentences.append(f"By {spelled}{where} {_choice(ranked)}.")
    return sentences


def notes(table: Sequence[CapacityRow]) -> list[str]:
    """What some of the rows do not say by themselves."""
    names = short_names(row.policy for row in table)
    return [
        f"{row.condition}, {names[row.policy]} on {row.profile}: {text}." for row in table for text in _caveats(row)
    ]


def _choice(ranked: Sequence[CapacityRow]) -> str:
    names = short_names(row.policy for row in ranked)
    above = [names[row.policy] for row in ranked if row.outcome == "above"]
    if above:
        return f"{_and(above)} {'hold' if len(above) > 1 else 'holds'} at every rate tried"
    if ranked[0].outcome == "never":
        return "no policy has any capacity"
    best = best_of({row.policy: row.samples() for row in ranked}, indifference=max(map(_width, ranked)))
    others = len(ranked) - len(best.names)
    if best.winner is None:
        behind = f", ahead of {others} more" if others else ""
        return f"no difference is seen between {_and([names[name] for name in best.names])}{behind}"
    second = ranked[1]
    more = f" and {others - 1} more" if others > 1 else ""
    lead, mean = best.differences[second.policy], second.capacity.mean
    times = f", {number(1 + lead.mean / mean)} times as much" if mean else ""
    than = f"{names[best.winner]} has more capacity than {names[second.policy]}{more}"
    return f"{than}: by {interval_words(lead)} req/s{times}"


def _width(row: CapacityRow) -> float:
    """Mean width of the brackets as a share of the capacity, at least what is negligible anyway."""
    width = 2 * sum(each.resolution for each in row.seeds) / len(row.seeds)
    return max(NEGLIGIBLE, width / row.capacity.mean if row.capacity.mean else 0.0)


def _and(names: Sequence[str]) -> str:
    *firsts, last = names
    return f"{', '.join(firsts)} and {last}" if firsts else last


def _caveats(row: CapacityRow) -> Iterator[str]:
    lowest, highest = row.rates_tried()
    without = sum(not each.bracket.low for each in row.seeds)
    beyond = sum(each.bracket.high == float("inf") for each in row.seeds)
    dips = sum(each.dips for each in row.seeds)
    of = f"of {len(row.seeds)} seeds"
    what = "does not hold" if isinstance(row.condition, Keep) else "has no stable peak"
    if without:
        yield f"{what} at {number(lowest)} req/s, the lowest rate tried, with {without} {of}, counted as 0"
    if beyond:
        yield f"goes on above {number(highest)} req/s, the highest rate tried, with {beyond} {of}: a lower bound"
    if dips:
        yield f"held again above the capacity with {dips} {of}: only rates below the first failure found count"
