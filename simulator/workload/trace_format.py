"""What a trace format is: the columns that make it, and the requests that they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from simulator.workload.trace_table import Column, Table
from simulator.workload.workload import Floats, Ints


@dataclass(frozen=True)
class TraceRequests:
    """The requests of a trace in the order of the file; arrays are (n,).

    time: seconds from any origin, None if the trace has none. first_timestamp: the earliest one as the file
    has it, seconds or a date. labels: request classes by name, None if there are none. rows_dropped: how many
    rows of the file are no request.
    """

    time: Floats | None
    prompt_length: Ints
    output_length: Ints
    line: Ints
    first_timestamp: float | str | None = None
    labels: Sequence[str] | None = None
    rows_dropped: int = 0


@dataclass(frozen=True)
class TraceFormat:
    """A format: its name, how its rows are written, the columns that make it, and what they mean."""

    name: str
    syntax: Literal["csv", "jsonl"]
    columns: tuple[Column, ...]
    requests: Callable[[Table], TraceRequests]

    def overlap(self, names: Sequence[str]) -> int:
        """How many of its required columns are among `names`."""
        return len({column.name for column in self.columns if column.required} & set(names))


def earliest(times: Floats) -> float | None:
    """The first of the times, None if there are none."""
    return float(times.min()) if len(times) else None
