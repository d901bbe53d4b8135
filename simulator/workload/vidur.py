"""Vidur's traces (github.com/microsoft/vidur, MIT): with arrivals, or lengths only."""

from __future__ import annotations

from simulator.workload.trace_format import TraceFormat, TraceRequests, earliest
from simulator.workload.trace_table import Column, Table


def _requests(table: Table) -> TraceRequests:
    times = table.times("arrived_at") if "arrived_at" in table else None
    return TraceRequests(
        time=times,
        prompt_length=table.lengths("num_prefill_tokens"),
        output_length=table.lengths("num_decode_tokens"),
        line=table.line,
        first_timestamp=None if times is None else earliest(times),
    )


VIDUR = TraceFormat(
    name="vidur",
    syntax="csv",
    columns=(
        Column("arrived_at", "number", required=False),
        Column("num_prefill_tokens", "count"),
        Column("num_decode_tokens", "count"),
    ),
    requests=_requests,
)
"""`arrived_at` is in seconds; a file without it has lengths only and needs arrivals from elsewhere."""
