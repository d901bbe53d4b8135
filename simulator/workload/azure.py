"""Azure LLM inference traces of 2023, 2024 and 2025 (github.com/Azure/AzurePublicDataset, CC-BY-4.0)."""

from __future__ import annotations

import numpy as np

from simulator.workload.trace_format import TraceFormat, TraceRequests
from simulator.workload.trace_table import Column, Table


def _requests(table: Table) -> TraceRequests:
    stamps = table["TIMESTAMP"].astype(np.int64)
    table.refuse(stamps < 0, "TIMESTAMP", "must be 1970 or later")
    first = stamps.min() if len(stamps) else 0
    return TraceRequests(
        time=(stamps - first) / 1e9,
        prompt_length=table.lengths("ContextTokens"),
        output_length=table.lengths("GeneratedTokens"),
        line=table.line,
        first_timestamp=str(np.datetime64(int(first), "ns")),
    )


AZURE = TraceFormat(
    name="azure",
    syntax="csv",
    columns=(
        Column("TIMESTAMP", "datetime"),
        Column("ContextTokens", "count"),
        Column("GeneratedTokens", "count"),
    ),
    requests=_requests,
)
"""The 2023 files have local times without a zone, to 100 ns; those of 2024 `+00:00`; those of 2025 `Z`, and a
column `NumImages`, which is not read. `first_timestamp` is in UTC where there is a zone."""
