"""From runs to rows: means over seeds with their intervals, one row per policy and rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.cells import CellResult
from experiments.distributions import Counts
from experiments.intervals import Interval, interval
from experiments.json_numbers import nested, plain

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """One policy at one rate. `values` holds an interval over seeds for each quantity of `summary_values`.

    rate: requests/s, as asked for or as measured in a replay. runs: the runs behind it, in order of their seeds.
    classes: the same quantities of each class of requests, by its name, if there are several.
    """

    policy: str
    rate: float
    values: dict[str, Interval]
    runs: tuple[CellResult, ...]
    classes: Mapping[str, dict[str, Interval]] = MappingProxyType({})

    @property
    def unstable(self) -> bool:
        """Whether most of its runs were: their figures grow with the length of the run."""
        return self.values["unstable"].mean > 0.5

    def samples(self, name: str) -> list[float]:
        """The value of each run, in order of their seeds."""
        return [run.values[name] for run in self.runs]

    def latencies(self, name: str) -> Counts:
        """Counts of all its runs together, as of `distributions.count_latencies`."""
        total: Counts = np.sum([run.latencies[name] for run in self.runs], axis=0)
        return total


def rows(results: Sequence[CellResult]) -> list[Row]:
    """Rows by rate and then policy, both in the order in which the study names them."""
    groups: dict[tuple[float | None, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault((result.cell.rate, result.cell.policy), []).append(result)
    return [_row(policy, runs) for (_, policy), runs in groups.items()]


def summary_frame(table: Sequence[Row]) -> pd.DataFrame:
    """A row per policy and rate: each quantity's mean over seeds, and its half-width as `NAME_half_width`."""
    import pandas as pd

    return pd.DataFrame.from_records([_record(row, {}, row.values) for row in table])


def class_frame(table: Sequence[Row]) -> pd.DataFrame:
    """A row per policy, rate and class of requests, with columns as of `summary_frame`; empty if all are of one."""
    import pandas as pd

    return pd.DataFrame.from_records(
        [_record(row, {"request_class": name}, values) for row in table for name, values in row.classes.items()]
    )


def run_frame(results: Sequence[CellResult]) -> pd.DataFrame:
    """A row per run: policy, rate, seed and every quantity of its summary."""
    import pandas as pd

    return pd.DataFrame.from_records(
        [{"policy": r.cell.policy, "rate": r.rate, "seed": r.cell.seed, **r.values} for r in results]
    )


def json_row(row: Row) -> dict[str, Any]:
    """The row as plain JSON: ttft, tbt, tpot and e2e as objects in seconds, undefined numbers as null.

    `half_width` has the same keys, less policy and the flag `unstable`; `unstable_share` says how many of the
    runs were. Where requests are of several classes, `classes` holds an object for each, by its name.
    """
    mean, half_width = _both(row.values)
    head = {"policy": row.policy, "rate": plain(row.rate), "num_seeds": len(row.runs), "unstable": row.unstable}
    half_width["rate"] = plain(interval([run.rate for run in row.runs]).half_width)
    row_as_json = head | mean | {"half_width": half_width}
    if row.classes:
        row_as_json["classes"] = {name: _json_class(values) for name, values in row.classes.items()}
    return row_as_json


def _json_class(values: Mapping[str, Interval]) -> dict[str, Any]:
    mean, half_width = _both(values)
    return mean | {"half_width": half_width}


def _both(values: Mapping[str, Interval]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Means and half-widths, nested."""
    named = {"unstable_share" if name == "unstable" else name: value for name, value in values.items()}
    mean = nested({name: value.mean for name, value in named.items()})
    return mean, nested({name: value.half_width for name, value in named.items()})


def _record(row: Row, more: dict[str, Any], values: Mapping[str, Interval]) -> dict[str, Any]:
    record = {"policy": row.policy, "rate": row.rate, **more, "num_seeds": len(row.runs)}
    record |= {name: value.mean for name, value in values.items()}
    return record | {f"{name}_half_width": value.half_width for name, value in values.items()}


def _row(policy: str, runs: list[CellResult]) -> Row:
    values = _intervals([run.values for run in runs])
    classes = {name: _intervals([run.classes[name] for run in runs]) for name in runs[0].classes}
    rate = runs[0].rate if runs[0].cell.rate is not None else interval([run.rate for run in runs]).mean
    return Row(policy, rate, values, tuple(runs), classes)


def _intervals(runs: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    return {name: interval([run[name] for run in runs]) for name in runs[0]}
