"""The scores of a benchmark log: every metric that its times can answer, the rest refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING

from experiments.benchlogs import BenchLog
from simulator.metrics import SLO, User, per_request, summary_values
from simulator.metrics.periods import per_second, span

if TYPE_CHECKING:
    import pandas as pd

_FROM_LAST = ("e2e", "normalised_latency", "deadline_class_tokens")
_FROM_ENDS = ("ttft", "tpot", *_FROM_LAST)
_WITHOUT_TOKENS = ("rate", "span", "window", "num", "throughput")
_ANSWERED_BY = {"ends": _FROM_ENDS, "end": _FROM_LAST}
"""Families of metrics that depend on no other token times than those recorded; what is not named is refused."""
_JUDGED_BY = {"ends": {"ttft", "tpot", "e2e"}, "end": {"e2e"}}
"""Bounds of an SLO that these times can judge."""
_OF_SLO = ("slo", "goodput")
_OF_REQUEST = (
    *("arrival", "prompt_length", "output_length", "request_class", "client", "status", "reason", "end"),
    *("num_tokens", "reading_speed"),
)


@dataclass(frozen=True, eq=False)
class ScoredLog:
    """A log and its scores.

    name: what it is called beside other logs. file, run: where it is from, runs counted from 1. values: those of
    `summary_values`, and the tool's own with the suffix `_tool`; NaN where undefined or refused. refused: names
    of the values that the log cannot answer. notes: what a reader of the scores must know.
    """

    name: str
    file: str
    run: int
    bench: BenchLog
    values: dict[str, float]
    refused: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def has_token_times(self) -> bool:
        """Whether the times of its tokens are known, so that it can be read token by token."""
        return token_times(self.bench) not in _ANSWERED_BY


def score_log(name: str, file: str, run: int, bench: BenchLog, slo: SLO | None, user: User) -> ScoredLog:
    """Every metric of the log. T is the span of the log, or the tool's own where the log has no submissions.

    `goodput_requests_per_s_tool` is by the tool's own figures and T under the given SLO; what the tool itself
    reported, under the SLO that it was given, is in `goodput_requests_per_s_reported_tool`.
    """
    values = _over_known_time(bench, slo, user)
    refused = [key for key, value in values.items() if not isnan(value) and not _answers(bench, key, slo)]
    refused += _refused_rates(bench, values)
    values |= dict.fromkeys(refused, nan)
    notes = list(bench.notes)
    if bench.tool is not None:
        values |= bench.tool.reported
        if slo is not None:
            values["goodput_requests_per_s_tool"] = bench.tool.goodput(slo)
            if isnan(values["goodput_requests_per_s_tool"]):
                notes.append(f"the tool's goodput is refused: {bench.format} does not judge {slo.spell()}, or has no T")
    return ScoredLog(name, file, run, bench, values, tuple(refused), tuple(notes))


def request_table(scored: ScoredLog, slo: SLO | None, user: User) -> pd.DataFrame:
    """`per_request` of the log, and the row of each request in the file; what the log cannot answer is missing."""
    import pandas as pd

    table = per_request(scored.bench.log, slo, user)
    for name in table.columns:
        if name not in _OF_REQUEST and not _answers(scored.bench, name, slo):
            table[name] = pd.array([pd.NA] * len(table), dtype="boolean") if name == "slo_met" else nan
    table.insert(0, "row", scored.bench.rows)
    return table


def token_times(bench: BenchLog) -> str:
    """What the times of a log's tokens are, as `BenchLog` has it; a simulated run's are exact."""
    return str(bench.log.meta.get("token_times", "exact"))


def knows_arrivals(bench: BenchLog) -> bool:
    """Whether the log says when requests were submitted."""
    return bool(bench.log.meta.get("arrivals", "known") == "known")


def period(bench: BenchLog) -> float:
    """T, seconds: the span of the log, or the tool's own where the log has no submissions; NaN if neither is known."""
    return span(bench.log) if knows_arrivals(bench) else float(bench.log.meta.get("tool_duration", nan))


def _over_known_time(bench: BenchLog, slo: SLO | None, user: User) -> dict[str, float]:
    """The log's summary; without submissions, what is per second of the span is taken over the tool's own T."""
    if knows_arrivals(bench):
        return summary_values(bench.log, slo, user)
    values = summary_values(replace(bench.log, window=period(bench)), slo, user)
    for key in [key for key in values if key.endswith("_per_s_window")]:
        values[key.removesuffix("_window")] = values[key]
        values[key] = nan
    values["throughput_requests_per_s"] = per_second(values["num_finished"], period(bench))
    values["throughput_tokens_per_s"] = per_second(values["num_tokens"], period(bench))
    return values | {"rate": nan, "span": nan, "window": nan}


def _answers(bench: BenchLog, key: str, slo: SLO | None) -> bool:
    """Whether the recorded times suffice for a metric."""
    times = token_times(bench)
    if times not in _ANSWERED_BY:
        return True
    if key.startswith(_OF_SLO):
        return slo is not None and {name for name, bound in slo if bound is not None} <= _JUDGED_BY[times]
    return key.startswith((*_WITHOUT_TOKENS, *_ANSWERED_BY[times]))


def _refused_rates(bench: BenchLog, values: dict[str, float]) -> Sequence[str]:
    if knows_arrivals(bench):
        return []
    unknown = period(bench)
    per_second_of = [key for key in values if key.endswith("_per_s")] if isnan(unknown) else []
    return ["rate", "span", "window", *per_second_of, *(key for key in values if key.endswith("_per_s_window"))]
