"""Qwen-Bailian traces (github.com/alibaba-edu/qwen-bailian-usagetraces-anon): JSONL, one chat turn a line."""

from __future__ import annotations

from simulator.workload.trace_format import TraceFormat, TraceRequests, earliest
from simulator.workload.trace_table import Column, Table


def _requests(table: Table) -> TraceRequests:
    times = table.times("timestamp")
    return TraceRequests(
        time=times,
        prompt_length=table.lengths("input_length"),
        output_length=table.lengths("output_length"),
        line=table.line,
        first_timestamp=earliest(times),
        labels=table["type"].tolist(),
    )


BAILIAN = TraceFormat(
    name="bailian",
    syntax="jsonl",
    columns=(
        Column("timestamp", "number"),
        Column("input_length", "count"),
        Column("output_length", "count"),
        Column("type", "text"),
        Column("hash_ids", "list", required=False),
    ),
    requests=_requests,
)
"""`timestamp` is in seconds; the request class is the `type`. Turns are replayed at their recorded times: the
link to the parent turn and the prefix blocks of 16 tokens are not used."""
