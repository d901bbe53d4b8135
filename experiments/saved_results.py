"""The rows of a study, read back from its output folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from pyarrow import ArrowException

from experiments.aggregate import Row
from experiments.cells import Cell, CellResult
from experiments.intervals import Interval
from experiments.parquet_files import in_one_line, read_parquet
from experiments.study import StudySpec
from experiments.study_files import load_study

if TYPE_CHECKING:
    import pandas as pd

Record: TypeAlias = dict[str, Any]
"""A row of a table, by column."""

_HALF_WIDTH = "_half_width"
_TEXTS = {"policy", "request_class", "workload", "profile"}
_WHOLE = {"seed", "num_seeds"}


def read_results(folder: Path) -> tuple[StudySpec, list[Row]]:
    """The study and the rows that `results.write_results` wrote; runs are without latency counts and classes.

    Raises ValueError or OSError of one line that names the file which is missing, damaged or of another study.
    """
    study = load_study(folder / "study.yaml")
    return study, SavedTables(folder, runs="runs.parquet").rows(study)


class SavedTables:
    """The tables of an output folder: means over seeds, means by class if there are several, and `runs`.

    Raises ValueError or OSError of one line that names the file which is missing or damaged.
    """

    def __init__(self, folder: Path, *, runs: str) -> None:
        self._source = folder / runs
        self._summary = _read_values(folder / "summary.parquet", ["policy", "rate", f"unstable{_HALF_WIDTH}"])
        self._runs = _read_values(self._source, ["policy", "rate", "seed"])
        classes = folder / "by_class.parquet"
        self._classes = _read_values(classes, ["policy", "rate", "request_class"]) if classes.exists() else None

    def rows(self, study: StudySpec, labels: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
        """The rows of a study: of a table of several, those that have its `labels`, which are columns.

        Raises ValueError of one line if a row has no runs.
        """
        runs = _runs(_records(self._runs, labels), study)
        classes = _classes([] if self._classes is None else _records(self._classes, labels))
        table = []
        for record in _records(self._summary, labels):
            policy, rate = record["policy"], record["rate"]
            behind = runs.get((policy, None if study.is_replay else rate))
            if not behind:
                raise ValueError(f"{self._source}: holds no run of {in_one_line(policy, 60)} at {rate:g} req/s")
            table.append(Row(policy, rate, intervals(record), tuple(behind), classes.get((policy, rate), {})))
        return table


def read_table(path: Path, columns: Collection[str] = ()) -> pd.DataFrame:
    """The Parquet file, which has at least these columns and one row. Raises ValueError or OSError, with one line."""
    try:
        table: pd.DataFrame = read_parquet(path).replace_schema_metadata(None).to_pandas()
    except (ArrowException, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: is damaged: {in_one_line(str(error))}") from None
    for name in columns:
        if name not in table:
            raise ValueError(f"{path}: has no column {name}")
    if table.empty:
        raise ValueError(f"{path}: has no row")
    return table


def _read_values(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """A table of names and numbers: a number that is missing is NaN."""
    import pandas as pd

    table = read_table(path, columns)
    checked = {}
    for name, values in zip(map(str, table), map(table.__getitem__, table), strict=True):
        try:
            if name in _TEXTS:
                assert all(isinstance(value, str) for value in values)
                checked[name] = values
            else:
                checked[name] = values.astype("int64" if name in _WHOLE else "float64")
        except (AssertionError, ValueError, TypeError, OverflowError):
            kind = "texts" if name in _TEXTS else "numbers"
            raise ValueError(f"{path}: column {in_one_line(name, 60)}: should be {kind}") from None
    return pd.DataFrame(checked)


def intervals(record: Record) -> dict[str, Interval]:
    """What stands in a row of a summary as a mean NAME and its NAME_half_width, by NAME and in its order."""
    names = [name for name in record if f"{name}{_HALF_WIDTH}" in record]
    return {name: Interval(record[name], record[f"{name}{_HALF_WIDTH}"]) for name in names}


def _records(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Record]:
    """The rows that have the labels, without them."""
    rows: list[Record] = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    return [
        {name: value for name, value in row.items() if name not in labels}
        for row in rows
        if all(row.get(name) == value for name, value in labels.items())
    ]


def _runs(records: Iterable[Record], study: StudySpec) -> dict[tuple[str, float | None], list[CellResult]]:
    """Runs by policy and rate as asked for: None in a replay, whose runs hold a measured one."""
    runs: dict[tuple[str, float | None], list[CellResult]] = {}
    for i, record in enumerate(records):
        cell = Cell(i, record["policy"], None if study.is_replay else record["rate"], record["seed"])
        values = {name: float(value) for name, value in record.items() if name not in ("policy", "rate", "seed")}
        runs.setdefault((cell.policy, cell.rate), []).append(CellResult(cell, record["rate"], values, {}))
    return runs


def _classes(records: Iterable[Record]) -> dict[tuple[str, float], dict[str, dict[str, Interval]]]:
    """The values of each class, by policy and rate."""
    classes: dict[tuple[str, float], dict[str, dict[str, Interval]]] = {}
    for record in records:
        classes.setdefault((record["policy"], record["rate"]), {})[record["request_class"]] = intervals(record)
    return classes
