"""A workload: what arrives, when and how long, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simulator.request import Request

if TYPE_CHECKING:
    from simulator.metrics.slo import SLO

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _unset() -> Any:
    """An optional column that was not given; it is filled with its default."""
    return np.empty(0)


_DEFAULTS: Mapping[str, int | float] = {
    "request_class": 0,
    "client": -1,
    "source_row": 0,
    "expected_ttft": np.nan,
    "speed": np.nan,
    "patience": np.inf,
    "predicted_output_length": np.nan,
}

COLUMNS = ("arrival", "prompt_length", "output_length", *_DEFAULTS)
"""Names of the arrays of a workload, one entry a request."""


@dataclass(frozen=True, eq=False)
class Workload:
    """Requests in order of (arrival, id); request i of every array has id i.

    arrival: (n,) seconds from the start of the run, ≥ 0, finite, non-decreasing.
    prompt_length, output_length: (n,) tokens, ≥ 1.
    request_class: (n,) index into `class_names`; client: (n,) client number, −1 where unknown.
    expected_ttft: (n,) seconds, speed: (n,) tokens/s: what the user expects and takes in; NaN where nobody said.
    patience: (n,) seconds that the user waits for a first token before leaving; infinite by default.
    predicted_output_length: (n,) tokens, what a predictor makes of the prompt; NaN where there is none.
    class_slos: the promise made to each class, or None.
    source_row: (n,) line of the file that a request came from, 0 where there is none.
    origin: what is worth recording about where the requests came from (rows left out, seed, file, …).

    Raises ValueError naming the first offending request and value.
    """

    name: str
    arrival: Floats
    prompt_length: Ints
    output_length: Ints
    request_class: Ints = field(default_factory=_unset)
    class_names: tuple[str, ...] = ("default",)
    client: Ints = field(default_factory=_unset)
    expected_ttft: Floats = field(default_factory=_unset)
    speed: Floats = field(default_factory=_unset)
    patience: Floats = field(default_factory=_unset)
    predicted_output_length: Floats = field(default_factory=_unset)
    class_slos: tuple[SLO | None, ...] = ()
    source_row: Ints = field(default_factory=_unset)
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.arrival)
        set_column = object.__setattr__
        for column in COLUMNS:
            default = 0.0 if column == "arrival" else _DEFAULTS.get(column, 0)
            kind = np.float64 if isinstance(default, float) else np.int64
            values = np.ascontiguousarray(getattr(self, column), dtype=kind)
            if column in _DEFAULTS and values.shape == (0,):
                values = np.broadcast_to(np.array(default, dtype=kind), n)  # one number, not n of them
            if values.shape != (n,):
                raise ValueError(f"workload {self.name}: {column} has shape {values.shape}, arrival has ({n},)")
            set_column(self, column, values)
        set_column(self, "class_slos", self.class_slos or (None,) * len(self.class_names))
        self._check()

    def _check(self) -> None:
        self._refuse(~np.isfinite(self.arrival) | (self.arrival < 0), "arrival", "must be finite and ≥ 0 s")
        late = np.diff(self.arrival, prepend=0.0) < 0
        self._refuse(late, "arrival", "must not be earlier than the request before it")
        for column in ("prompt_length", "output_length"):
            self._refuse(getattr(self, column) < 1, column, "must be ≥ 1 token")
        nameless = (self.request_class < 0) | (self.request_class >= len(self.class_names))
        self._refuse(nameless, "request_class", "has no name")
        for column in ("expected_ttft", "speed", "patience", "predicted_output_length"):
            self._refuse(getattr(self, column) <= 0, column, "must be positive")
        if len(self.class_slos) != len(self.class_names):
            raise ValueError(f"workload {self.name}: {len(self.class_slos)} SLOs for {len(self.class_names)} classes")

    def _refuse(self, bad: npt.NDArray[np.bool_], column: str, rule: str) -> None:
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise ValueError(f"workload {self.name}: {self.where(i)}: {column} {getattr(self, column)[i]} {rule}")

    def where(self, i: int) -> str:
        """Where request i came from, for messages: its line in the file if it has one."""
        row = int(self.source_row[i])
        return f"request {i} (line {row})" if row else f"request {i}"

    def __len__(self) -> int:
        return len(self.arrival)

    def __getitem__(self, i: int) -> Request:
        return Request(
            id=i,
            arrival=float(self.arrival[i]),
            prompt_length=int(self.prompt_length[i]),
            output_length=int(self.output_length[i]),
            request_class=self.class_names[int(self.request_class[i])],
            client=int(self.client[i]),
            slo=self.class_slos[int(self.request_class[i])],
            **{
                column: float(getattr(self, column)[i])
                for column in ("expected_ttft", "speed", "patience")
                if np.isfinite(getattr(self, column)[i])
            },
        )

    @property
    def rate(self) -> float:
        """Mean arrival rate, requests/s: (n − 1) gaps over their sum; NaN with fewer than two arrival times."""
        span = float(self.arrival[-1] - self.arrival[0]) if len(self) else 0.0
        return (len(self) - 1) / span if span > 0 else float("nan")
