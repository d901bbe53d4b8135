"""What a study says, in a sentence or two: which policy each goodput chooses, and where the load is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import NamedTuple

from experiments.aggregate import Row
from experiments.best_of import Best, best_of
from experiments.labels import short_names
from experiments.numbers import number


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

    A score chooses a policy if `best_of` names a winner, on the seeds that the best rows share; else it says which
    policies tie: their paired 95 % intervals hold 0, or they differ by at most 1 %. Of a single run only the latter
    can be said.
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
    best = _best_of(ranked, score.key).names
    if len(best) == len(ranked):
        return f"{words} sees no difference"
    names = short_names(row.policy for row in table)
    if len(best) > 2:
        return f"{words}: {len(best)} of {len(ranked)} tie"
    return f"{words} chooses {' or '.join(names[p] for p in best)}"


def _choices(table: Sequence[Row], judged: Sequence[Score]) -> str:
    winners, texts = [], []
    for score in judged:
        rows = {row.policy: row for row in best_rows(table, score.key)}
        best = _best_of(list(rows.values()), score.key)
        winners.append(best.winner)
        ahead = [rows.pop(name) for name in best.names]
        texts.append(_tie(ahead, len(rows), table, score) if len(ahead) > 1 else _win(ahead[0], rows, table, score))
    if len(winners) > 1 and None not in winners:
        texts[-1] += ": they agree" if winners[0] == winners[1] else ": they disagree"
    return ", ".join(texts)


def _win(best: Row, others: Mapping[str, Row], table: Sequence[Row], score: Score) -> str:
    second = next(iter(others.values()))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    means = f"{number(best.values[score.key].mean)} and {number(second.values[score.key].mean)}"
    return f"{score.words} chooses {_at(best, table)} over {_at(second, table)}{more} ({means} {score.unit})"


def _tie(best: Sequence[Row], num_others: int, table: Sequence[Row], score: Score) -> str:
    *names, last = [_at(row, table) for row in best]
    means = [number(row.values[score.key].mean) for row in best]
    spread = f"{means[0]} {'and' if len(means) == 2 else 'to'} {means[-1]} {score.unit}"
    behind = f", ahead of {num_others} more" if num_others else ""
    return f"{score.words} sees no difference between {', '.join(names)} and {last} ({spread}){behind}"


def _best_of(ranked: Sequence[Row], key: str) -> Best:
    """The best policy of rows of one policy each, on the seeds that they share; without any, all tie."""
    shared = set.intersection(*({run.cell.seed for run in row.runs} for row in ranked))
    if not shared:
        return Best(tuple(row.policy for row in ranked), None, {})
    return best_of({row.policy: [r.values[key] for r in row.runs if r.cell.seed in shared] for row in ranked})


def _peak(table: Sequence[Row], score: Score) -> str:
    best = best_rows(table, score.key)[0]
    where = f"peaks at {number(best.rate)} req/s with" if len(table) > 1 else "is"
    return f"{score.words} {where} {number(best.values[score.key].mean)} {score.unit}"


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


def _at(row: Row, table: Sequence[Row]) -> str:
    several = len({other.rate for other in table if other.policy == row.policy}) > 1
    name = short_names(other.policy for other in table)[row.policy]
    return f"{name} at {number(row.rate)} req/s" if several else name


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
        where = f"{who} from {number(next(iter(unstable.values())))} req/s on"
    else:
        where = ", ".join(f"{policy} from {number(rate)} req/s on" for policy, rate in unstable.items())
    return f"Unstable (*): {where}; there the queue grows as long as requests arrive, and the figures with it."
