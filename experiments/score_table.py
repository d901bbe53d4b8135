"""The table of scores for people: logs side by side, a line per quantity, the tool's own figure behind ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from experiments.numbers import number
from experiments.score_values import ScoredLog

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_LOG = 24


class _Line(NamedTuple):
    words: str
    unit: str
    key: str
    scale: float = 1.0
    ends_group: bool = False


_COUNTS = [
    _Line("requests", "", "num_requests"),
    _Line("finished", "", "num_finished"),
    _Line("failed", "", "num_failed"),
    _Line("unfinished", "", "num_unfinished"),
    _Line("dropped", "", "num_dropped"),
    _Line("tokens", "", "num_tokens"),
    _Line("throughput", "requests/s", "throughput_requests_per_s"),
    _Line("", "tokens/s", "throughput_tokens_per_s", ends_group=True),
]
_LATENCIES = [
    _Line("TTFT, mean", "ms", "ttft_mean", 1e3),
    _Line("TTFT, P99", "ms", "ttft_p99", 1e3),
    _Line("TBT, mean", "ms", "tbt_mean", 1e3),
    _Line("TBT, P99", "ms", "tbt_p99", 1e3),
    _Line("TPOT, mean", "ms", "tpot_mean", 1e3),
    _Line("TPOT, P99", "ms", "tpot_p99", 1e3),
    _Line("E2E, mean", "ms", "e2e_mean", 1e3),
    _Line("E2E, P99", "ms", "e2e_p99", 1e3, ends_group=True),
]
_READER = [
    _Line("SLO met", "%", "slo_attainment", 1e2),
    _Line("goodput", "requests/s", "goodput_requests_per_s", ends_group=True),
    _Line("user idle latency, mean", "s", "idle_latency_mean"),
    _Line("user idle latency, P99", "s", "idle_latency_p99"),
    _Line("QoE, mean", "", "qoe_mean"),
    _Line("QoE ≥ 0.99", "%", "qoe_perfect", 1e2),
    _Line("fluidity, mean", "", "fluidity_mean"),
    _Line("smooth goodput", "tokens/s", "smooth_goodput_tokens_per_s"),
]
_ALWAYS = {"num_requests", "num_finished", "num_failed", "num_tokens"}


def score_tables(table: Sequence[ScoredLog], width: int) -> Iterator[Table]:
    """Rich tables of the logs, as many side by side as `width` characters hold."""
    at_once = max(1, (width - 36) // _WIDTH_OF_LOG)
    for first in range(0, len(table), at_once):
        yield _table(table[first : first + at_once], table)


def _table(shown: Sequence[ScoredLog], table: Sequence[ScoredLog]) -> Table:
    from rich import box
    from rich.table import Table

    text = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    text.add_column("")
    text.add_column("")
    for log in shown:
        text.add_column(f"{log.name}\n{log.bench.format}", justify="right", overflow="fold", max_width=_WIDTH_OF_LOG)
    for line in (*_COUNTS, *_LATENCIES, *_READER):
        if line.key in _ALWAYS or any(_is_of_interest(log, line) for log in table):
            text.add_row(line.words, line.unit, *(_cell(log, line) for log in shown), end_section=line.ends_group)
    return text


def _is_of_interest(log: ScoredLog, line: _Line) -> bool:
    value = log.values.get(line.key, float("nan"))
    return line.key in log.refused or (value != 0 if line.key.startswith("num_") else not isnan(value))


def _cell(log: ScoredLog, line: _Line) -> str:
    """Our figure, and in brackets the tool's own where it has one."""
    ours = "refused" if line.key in log.refused else number(log.values[line.key] * line.scale, 4)
    theirs = log.values.get(f"{line.key}_tool")
    return ours if theirs is None or isnan(theirs) else f"{ours} ({number(theirs * line.scale, 4)})"
