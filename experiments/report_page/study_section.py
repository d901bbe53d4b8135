"""A section of a report page: one study's verdict, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from experiments.aggregate import Row
from experiments.figures import at_shown_rate, why_shown
from experiments.labels import short_names
from experiments.numbers import number
from experiments.report import notes
from experiments.report_page.page import PageFigure, PageTable, Section, from_rich
from experiments.report_page.pictures import Picture
from experiments.study import StudySpec
from experiments.style import policy_styles
from experiments.table import class_table, result_table
from experiments.verdict import choice, scores, verdict

_EVERY_COLUMN = 10_000


def study_section(
    title: str, study: StudySpec, table: Sequence[Row], goodput: Picture, latencies: Picture | None = None
) -> Section:
    """The section of a study whose figures, of latencies if there is one, are there as pictures."""
    figures = [PageFigure(*goodput, *_of_goodput(table))]
    if latencies is not None:
        figures.append(PageFigure(*latencies, *_of_latencies(study, table)))
    return Section(
        title=title,
        verdict=verdict(table),
        figures=tuple(figures),
        tables=_tables(table),
        notes=tuple(notes(study, table)),
    )


def _tables(table: Sequence[Row]) -> tuple[PageTable, ...]:
    looks = policy_styles(row.policy for row in table)
    rows = [(looks[row.policy], row.unstable) for row in table]
    whole = from_rich(result_table(table, _EVERY_COLUMN), "Every policy at every rate", rows)
    by_class = class_table(table, _EVERY_COLUMN)
    if by_class is None:
        return (whole,)
    lines = [(looks[row.policy], row.unstable) for row in table for _ in row.classes]
    return whole, from_rich(by_class, "By class of requests", lines)


def _of_goodput(table: Sequence[Row]) -> tuple[str, str]:
    """What the figure of scores shows, and what is to be seen in it."""
    by_rate = len({row.rate for row in table if isfinite(row.rate)}) > 1
    what = " and ".join(score.words for score in scores(table)) + " of each policy"
    what += " against the arrival rate" if by_rate else ""
    marks = "lines are means" if by_rate else "bars are means"
    seeds = sorted({len(row.runs) for row in table})
    if seeds[-1] > 1:
        marks += f" over {' to '.join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))} seeds with 95 % intervals"
    hollow = ", hollow where the run is unstable" if any(row.unstable for row in table) else ""
    seen = ". ".join(choice(table, score) for score in scores(table))
    return _sentence(what), f"{seen}. Shown: {what}; {marks}{hollow}."


def _of_latencies(study: StudySpec, table: Sequence[Row]) -> tuple[str, str]:
    """Likewise of the figure of latencies."""
    shown = at_shown_rate(table)
    what = "share of first tokens, and of gaps between tokens, that take longer than a time, for each policy"
    seen = f"{_tail(shown, 'ttft_p99', 'P99 TTFT')}; {_tail(shown, 'tbt_p99', 'P99 TBT')}"
    bound = " Dashed: the SLO." if study.slo and (study.slo.ttft or study.slo.tbt) else ""
    marks = "lower is better, marks are at P50, P90, P99 and P99.9"
    return _sentence(what), f"{why_shown(shown, table)}: {seen}. Shown: {what}; {marks}.{bound}"


def _tail(shown: Sequence[Row], key: str, words: str) -> str:
    """A percentile of each policy, in seconds or milliseconds."""
    names = short_names(row.policy for row in shown)
    return f"{words} {', '.join(f'{names[row.policy]} {_time(row.values[key].mean)}' for row in shown)}"


def _time(seconds: float) -> str:
    return f"{number(1e3 * seconds)} ms" if seconds < 1 else f"{number(seconds)} s"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
