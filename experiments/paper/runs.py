"""The runs of a study, as the analyses read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.aggregate import Row
from experiments.cells import Cell
from experiments.study import StudySpec
from simulator.token_log import Floats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Runs:
    """All runs of a study: a row per policy and rate, and the file of each run's per-request table, if it was kept."""

    study: StudySpec
    table: tuple[Row, ...]
    request_files: Mapping[Cell, Path] = field(default_factory=dict)

    @property
    def rates(self) -> list[float]:
        """Arrival rates, ascending, requests/s."""
        return sorted(self.study.rates)

    @property
    def policies(self) -> tuple[str, ...]:
        """As the study names them."""
        return self.study.policies

    def row(self, policy: str, rate: float) -> Row:
        """The row of one policy at one rate. Raises KeyError if there is none."""
        for row in self.table:
            if (row.policy, row.rate) == (policy, rate):
                return row
        raise KeyError(f"{self.study.name} has no run of {policy} at {rate} requests/s")

    def samples(self, policy: str, rate: float, key: str) -> Floats:
        """One quantity of `summary_values`, a value per seed, (seeds,)."""
        return np.array(self.row(policy, rate).samples(key))

    def curves(self, policy: str, key: str) -> Floats:
        """One quantity over the rates, (seeds, rates)."""
        return np.stack([self.samples(policy, rate, key) for rate in self.rates], axis=1)

    def stable_rates(self, policies: Sequence[str] | None = None) -> list[float]:
        """Rates at which every one of these policies (all, if not given) is stable; the lowest one if there is none."""
        judged = self.policies if policies is None else policies
        stable = [rate for rate in self.rates if not any(self.row(policy, rate).unstable for policy in judged)]
        return stable or self.rates[:1]

    def requests(self, policy: str, rate: float) -> list[pd.DataFrame]:
        """The per-request table of each run of a policy at a rate, in order of the seeds."""
        import pandas as pd

        cells = [cell for cell in self.request_files if (cell.policy, cell.rate) == (policy, rate)]
        return [pd.read_parquet(self.request_files[cell]) for cell in sorted(cells, key=lambda cell: cell.seed)]
