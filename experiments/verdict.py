"""What a study says, in a sentence or two: which policy each goodput chooses, and where the load is too much."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from experiments.aggregate import Row
from experiments.intervals import paired_difference
from experiments.labels import short_names
from experiments.numbers import number

_NEGLIGIBLE = 0.01
"""Share of the lesser value up to which a difference is none."""


class Score(NamedTuple):
    """A quantity by which policies are ranked (higher is better) and how to call it."""

    key: str
    words: str
    unit: str


def scores(table: Sequence[Row]) -> list[Score]:
    """Goodput (where there is an SLO) and smooth goodput, per second of the arrival window.

    The window is the same for every policy, which the span is not; the span serves where all requests arrive at
    once and there is no window.
    """
    has_window = all(row.values["window"].mean > 0 for row in table)
    suffix = "_window" if has_window else ""
    both = [
        Score(f"goodput_requests_per_s{suffix}", "goodput", "req/s"),
        Score(f"smooth_goodput_tokens_per_s{suffix}", "smooth goodput", "tokens/s"),
    ]
    return [score for score in both if not isnan(table[0].values[score.key].mean)]


def verdict(table: Sequence[Row]) -> str:
    """The choice by each score, every policy at its best stable rate, and the rates that are too much for a policy.

    The two best policies do not differ by a score if the paired 95 % interval of their difference holds 0, or the
    difference is at most 1 %; of a single run only the latter can be said.
    """
    judged = scores(table)
    if len({row.policy for row in table}) == 1:
        choices = ", ".join(_peak(table, score) for score in judged)
    else:
        choices = _choices(table, judged)
    return " ".join(filter(None, [f"{choices[:1].upper()}{choices[1:]}.", _stability(table)]))


def choice(table: Sequence[Row], score: Score) -> str:
    """Which policy the score chooses, in a few words."""
    words = score.words.capitalize()
    ranked = best_rows(table, score.key)
    if len(ranked) == 1:
        return words
    if _is_tie(ranked[0], ranked[1], score.key):
        return f"{words} sees no difference"
    return f"{words} chooses {short_names(row.policy for row in table)[ranked[0].policy]}"


def _choices(table: Sequence[Row], judged: Sequence[Score]) -> str:
    winners, texts = [], []
    for score in judged:
        best, other = best_rows(table, score.key)[:2]
        tie = _is_tie(best, other, score.key)
        winners.append(None if tie else best.policy)
        texts.append(
            f"{score.words} sees no difference between {_at(best, table)} and {_at(other, table)}"
            if tie
            else f"{score.words} chooses {_at(best, table)} over {_at(other, table)}"
        )
        texts[-1] += f" ({number(best.values[score.key].mean)} and {number(other.values[score.key].mean)} {score.unit})"
    if len(winners) > 1 and None not in winners:
        texts[-1] += ": they agree" if winners[0] == winners[1] else ": they disagree"
    return ", ".join(texts)


def _peak(table: Sequence[Row], score: Score) -> str:
    best = best_rows(table, score.key)[0]
    where = f"peaks at {best.rate:.3g} req/s with" if len(table) > 1 else "is"
    return f"{score.words} {where} {best.values[score.key].mean:.3g} {score.unit}"


def best_rows(table: Sequence[Row], key: str) -> list[Row]:
    """Each policy's best row, best policy first, unstable ones only where it has no other.

    A NaN is worst, and the earlier row wins a draw.
    """
    best: dict[str, Row] = {}
    for row in sorted(table, key=lambda row: row.unstable):
        known = best.setdefault(row.policy, row)
        if row.unstable == known.unstable and _rank(row, key) > _rank(known, key):
            best[row.policy] = row
    return sorted(best.values(), key=lambda row: _rank(row, key), reverse=True)


def _rank(row: Row, key: str) -> float:
    value = row.values[key].mean
    return float("-inf") if isnan(value) else value


def _is_tie(best: Row, other: Row, key: str) -> bool:
    difference = paired_difference(best.samples(key), other.samples(key))
    if isnan(difference.mean):
        return False
    least = _NEGLIGIBLE * abs(other.values[key].mean)
    return difference.mean <= max(least, 0.0 if isnan(difference.half_width) else difference.half_width)


def _at(row: Row, table: Sequence[Row]) -> str:
    several = len({other.rate for other in table if other.policy == row.policy}) > 1
    name = short_names(other.policy for other in table)[row.policy]
    return f"{name} at {row.rate:.3g} req/s" if several else name


def _stability(table: Sequence[Row]) -> str:
    names = short_names(row.policy for row in table)
    unstable: dict[str, float] = {}
    for row in table:
        if row.unstable:
            name = names[row.policy]
            unstable[name] = min(row.rate, unstable.get(name, row.rate))
    if not unstable:
        return ""
    if len(set(unstable.values())) == 1 and len(unstable) == len(names):
        who = "every policy" if len(unstable) > 1 else next(iter(unstable))
        where = f"{who} from {next(iter(unstable.values())):.3g} req/s on"
    else:
        where = ", ".join(f"{policy} from {rate:.3g} req/s on" for policy, rate in unstable.items())
    return f"Unstable (*): {where}; there the queue grows as long as requests arrive, and the figures with it."
