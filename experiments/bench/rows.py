"""Rows of a benchmark: the best of what was measured of each case, what follows from it, and which bars it misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.bench.bars import bars
from experiments.bench.cases import Case, baseline
from experiments.capacity.conditions import Bound

Values = Mapping[str, float]
_MOST = {"peak_rss_bytes", "speed_up"}


@dataclass(frozen=True)
class BenchRow:
    """A case with its figures by name (seconds, bytes), the bars that it is held to, and those that it misses."""

    case: Case
    values: Values
    bars: tuple[Bound, ...]
    missed: tuple[Bound, ...]


def bench_rows(measured: Mapping[Case, Sequence[Values]]) -> list[BenchRow]:
    """A row for each case, in their order. measured: what each repetition of a case found.

    A bar on a ratio counts only where both cases were measured.
    """
    best = {case: _best(repetitions) for case, repetitions in measured.items()}
    return [_row(case, values, best) for case, values in best.items()]


def _best(repetitions: Sequence[Values]) -> Values:
    """The least of each time, since all that disturbs a run adds to it; the most of memory and speed-up."""
    return {name: (max if name in _MOST else min)(values[name] for values in repetitions) for name in repetitions[0]}


def _row(case: Case, found: Values, best: Mapping[Case, Values]) -> BenchRow:
    values = dict(found)
    if "requests" in found:
        values |= _rates(found)
    other = baseline(case)
    if other is not None and other in best:
        values |= _ratios(found, best[other])
    held_to = tuple(bar for bar in bars(case) if bar.metric in values)
    return BenchRow(case, values, held_to, tuple(bar for bar in held_to if not bar.holds(values)))


def _rates(found: Values) -> Values:
    rates = {f"{name}_per_cpu_s": found[name] / found["cpu_s"] for name in ("requests", "output_tokens")}
    if "num_plans" in found:
        rates["plans_per_request"] = found["num_plans"] / found["requests"]
    return rates


def _ratios(found: Values, other: Values) -> Values:
    """How many times the other's CPU seconds a case takes: in the simulation loop, and with the summary."""
    both, its = (values["cpu_s"] + values["summary_cpu_s"] for values in (found, other))
    return {"cost_ratio": found["cpu_s"] / other["cpu_s"], "cost_ratio_with_summary": both / its}
