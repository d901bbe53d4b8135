"""Mooncake's trace format (github.com/kvcache-ai/Mooncake, Apache-2.0): what the load tools exchange."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import numpy as np

from simulator.workload.trace_format import TraceFormat, TraceRequests, earliest
from simulator.workload.trace_table import Column, Table
from simulator.workload.workload import Workload

BLOCK_TOKENS = 512
"""Prompt tokens of one entry of `hash_ids`."""


def _requests(table: Table) -> TraceRequests:
    stamps = table.times("timestamp")
    first = earliest(stamps) or 0.0
    return TraceRequests(
        time=(stamps - first) / 1000.0,
        prompt_length=table.lengths("input_length"),
        output_length=table.lengths("output_length"),
        line=table.line,
        first_timestamp=first / 1000.0,
    )


MOONCAKE = TraceFormat(
    name="mooncake",
    syntax="jsonl",
    columns=(
        Column("timestamp", "number"),
        Column("input_length", "count"),
        Column("output_length", "count"),
        Column("hash_ids", "list", required=False),
    ),
    requests=_requests,
)
"""`timestamp` is in milliseconds, whole ones in the published files. `hash_ids`, the prefix blocks, are only
checked to be a list."""


def write_mooncake(workload: Workload, path: str | PathLike[str]) -> None:
    """Write a workload as Mooncake JSONL, which vLLM, SGLang, AIPerf and GuideLLM replay.

    Arrivals are rounded to whole milliseconds. Every prompt gets `hash_ids` of its own, as some of the tools
    make the prompt of them and a workload shares no prefixes. Request classes and clients have no place in
    the format.

    Raises OSError if the file cannot be written.
    """
    stamps = np.rint(workload.arrival * 1000).astype(np.int64).tolist()
    blocks = -(-workload.prompt_length // BLOCK_TOKENS)
    ends = np.cumsum(blocks).tolist()
    prompts, outputs = workload.prompt_length.tolist(), workload.output_length.tolist()
    rows = zip(stamps, prompts, outputs, blocks.tolist(), ends, strict=True)
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for stamp, prompt, output, count, end in rows:
            record = {"timestamp": stamp, "input_length": prompt, "output_length": output}
            file.write(json.dumps({**record, "hash_ids": list(range(end - count, end))}) + "\n")
