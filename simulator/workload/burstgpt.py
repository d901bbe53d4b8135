"""BurstGPT traces (github.com/HPMLL/BurstGPT, CC-BY-4.0), all versions: columns are found by name."""

from __future__ import annotations

from simulator.workload.trace_format import TraceFormat, TraceRequests, earliest
from simulator.workload.trace_table import Column, Table


def _requests(table: Table) -> TraceRequests:
    prompt = table.lengths("Request tokens", least=0)
    output = table.lengths("Response tokens", least=0)
    times = table.times("Timestamp")
    kept = (prompt > 0) & (output > 0)
    labels = next((table[column][kept].tolist() for column in ("Log Type", "Model") if column in table), None)
    return TraceRequests(
        time=times[kept],
        prompt_length=prompt[kept],
        output_length=output[kept],
        line=table.line[kept],
        first_timestamp=earliest(times[kept]),
        labels=labels,
        rows_dropped=int((~kept).sum()),
    )


BURSTGPT = TraceFormat(
    name="burstgpt",
    syntax="csv",
    columns=(
        Column("Timestamp", "number"),
        Column("Request tokens", "count"),
        Column("Response tokens", "count"),
        Column("Log Type", "text", required=False),
        Column("Model", "text", required=False),
    ),
    requests=_requests,
)
"""`Timestamp` is in seconds. Rows with zero tokens are requests that failed: they are left out and counted.
The request class is the `Log Type`, or else the `Model`."""
