"""Seeds until the scores are known well enough: replications in rounds, with a cap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, inf
from typing import NamedTuple

from experiments.aggregate import Row, rows
from experiments.cells import CellResult, cells
from experiments.intervals import Interval
from experiments.study import StudySpec
from experiments.verdict import Score, scores
from simulator.metrics.periods import per_second

_LEAST_SEEDS = 5
"""The standard deviation of fewer runs is too often far too small, and would stop at once."""
_CEILINGS = {"req/s": "num_requests", "tokens/s": "num_tokens"}
"""What a score could be at most, less T: every request good, every delivered token in time."""


class Shortfall(NamedTuple):
    """A score that is not known as well as was asked, and its relative half-width."""

    row: Row
    score: Score
    relative: float


def run_to_precision(study: StudySpec, run: Callable[[StudySpec], list[CellResult]]) -> list[CellResult]:
    """Results of the study with as many seeds at each rate as its `precision` takes, in the order of `cells`.

    run: gives the results of a study, such as this one with other seeds and fewer rates. All policies of a rate get
    the same seeds, at least 5 and at most `max_seeds`: first those of the study, then numbers on from the highest.
    After each round every stable row is looked at (`shortfalls`); rates with one that falls short get as many seeds
    as its spread calls for (the number grows with the square of the half-width), but at most twice those they have.

    Source: sequential stopping on the relative half-width (Law & Kelton, Simulation Modeling and Analysis,
    section 9.4; Chow & Robbins 1965). Since a run of little spread stops it early, the 95 % intervals hold the
    truth a little less often than that.
    """
    assert study.precision is not None
    todo: dict[float | None, int] = dict.fromkeys(study.rates or (None,), max(len(study.seeds), _LEAST_SEEDS))
    seeds = _seeds(study)
    done: dict[float | None, int] = dict.fromkeys(todo, 0)
    results: list[CellResult] = []
    while todo:
        for (first, last), rates in _rounds(done, todo, study.max_seeds).items():
            part = {"seeds": seeds[first:last], "rates": rates}
            results += run(study.model_copy(update=part))
            done |= dict.fromkeys(rates or (None,), last)
        todo = _wanted(study, rows(_in_order(study, results)), done)
    return _in_order(study, results)


def shortfalls(table: Sequence[Row], precision: float) -> list[Shortfall]:
    """The scores (`verdict.scores`) of stable rows that are not known to `precision`, the worst first."""
    all_of_them = (
        Shortfall(row, score, relative_half_width(row.values[score.key], _ceiling(row, score)))
        for row in table
        if not row.unstable
        for score in scores(table)
    )
    return sorted((s for s in all_of_them if s.relative > precision), key=lambda s: s.relative, reverse=True)


def relative_half_width(value: Interval, ceiling: float) -> float:
    """The half-width as a share of |mean|, or of `ceiling` where |mean| is less than twice the half-width.

    A score that crosses 0 would otherwise take any number of runs. `ceiling` is what it could be at most, in its
    unit. Infinite where the half-width is not known.
    """
    if value.half_width == 0:
        return 0.0
    near_zero = abs(value.mean) < 2 * value.half_width
    whole = ceiling if near_zero else abs(value.mean)
    return value.half_width / whole if value.half_width >= 0 and whole > 0 else inf


def precision_note(study: StudySpec, table: Sequence[Row]) -> str:
    """What became of the precision that was asked for, in a sentence or two; empty if none was."""
    if study.precision is None:
        return ""
    counts = sorted({len(row.runs) for row in table if not row.unstable})
    short = shortfalls(table, study.precision)
    asked = f"Asked for: ± {100 * study.precision:g} %"
    if not counts:
        return f"{asked}. No rate is stable, and only there are seeds added."
    if not short:
        each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        said = f"{asked}, reached with {each} seeds wherever a run is stable."
    else:
        worst = short[0]
        where = f"{worst.score.words} of {worst.row.policy} at {worst.row.rate:.3g} req/s"
        said = (
            f"{asked}, not reached with {study.max_seeds} seeds (max_seeds) by {len(short)} of the scores; "
            f"the worst is {where}, ± {100 * worst.relative:.2g} %."
        )
    return f"{said} Having stopped at a small spread, the intervals are slightly too short."


def _ceiling(row: Row, score: Score) -> float:
    period = "window" if score.key.endswith("_window") else "span"
    return per_second(row.values[_CEILINGS[score.unit]].mean, row.values[period].mean)


def _seeds(study: StudySpec) -> tuple[int, ...]:
    """All seeds that there may be: those of the study, then numbers on from the highest."""
    first = max(study.seeds) + 1
    most = max(study.max_seeds, _LEAST_SEEDS)
    return (*study.seeds, *range(first, first + most - len(study.seeds)))


def _rounds(
    done: dict[float | None, int], todo: dict[float | None, int], cap: int
) -> dict[tuple[int, int], tuple[float, ...]]:
    """Rates by the range of seeds that they get next; of a replay at its own rate there are none to name."""
    groups: dict[tuple[int, int], tuple[float, ...]] = {}
    for rate, wanted in todo.items():
        stretch = (done[rate], min(wanted, cap))
        groups[stretch] = groups.get(stretch, ()) + (() if rate is None else (rate,))
    return groups


def _wanted(study: StudySpec, table: Sequence[Row], done: dict[float | None, int]) -> dict[float | None, int]:
    """How many seeds each rate that falls short should have next; empty where it has reached the cap."""
    assert study.precision is not None
    wanted: dict[float | None, int] = {}
    for row, _, relative in shortfalls(table, study.precision):
        rate = row.runs[0].cell.rate
        n = done[rate]
        if n < study.max_seeds:
            needed = 2 * n if relative == inf else ceil(n * (relative / study.precision) ** 2)
            wanted[rate] = max(wanted.get(rate, 0), min(max(needed, n + 1), 2 * n))
    return wanted


def _in_order(study: StudySpec, results: Sequence[CellResult]) -> list[CellResult]:
    """The results as `cells` has them: by rate, seed and policy."""
    most = tuple(sorted({result.cell.seed for result in results}, key=_seeds(study).index))
    place = {
        (cell.rate, cell.seed, cell.policy): cell.index for cell in cells(study.model_copy(update={"seeds": most}))
    }
    return sorted(results, key=lambda r: place[r.cell.rate, r.cell.seed, r.cell.policy])
