"""`sglang.bench_serving --output-details`: JSON lines, one run a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.parallel_arrays import array_requests, check_completed
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_names import reported_figures, slo_in_ms
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun

_LATENCIES = {"ttft": "ttft", "itl": "tbt", "tpot": "tpot", "e2e_latency": "e2e"}
_BOUNDS = {"ttft": "ttft", "tpot": "tpot", "e2el": "e2e"}


def read_sglang(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """One log for each line of the file.

    The log has no times of submission. The tool has already split the gap before a chunk evenly over the chunk's
    tokens; equal gaps in a row show it, and are counted. The tool's T is its `duration`; its TPOT is
    (E2E − TTFT)/(n − 1), and 0 for n ≤ 1.
    """
    logs = []
    for run in file.values:
        requests = array_requests(run, "--output-details")
        tool_run = ToolRun(
            tool="sglang",
            place=run.place,
            requests=requests,
            duration=run["duration"].time(),
            reported=reported_figures(run, _LATENCIES),
            slo=slo_in_ms(run.get("goodput_slos_ms"), _BOUNDS),
            notes=(*check_completed(run, requests), *_split_gaps(requests)),
            meta={key: run[key].value for key in ("backend", "dataset_name") if isinstance(run.value.get(key), str)},
        )
        logs.append(bench_log(tool_run, chunks))
    return logs


def _split_gaps(requests: Sequence[ToolRequest]) -> tuple[str, ...]:
    """A note if gaps repeat to the nanosecond, which measured ones do not: the tool split those before chunks."""
    gaps = [np.diff(request.received) for request in requests]
    repeated = sum(int((np.abs(np.diff(row)) < 1e-9).sum()) for row in gaps)
    total = sum(map(len, gaps))
    if repeated <= total // 100:
        return ()
    return (f"{repeated} of {total} gaps equal the one before: the tool splits the gap before a chunk over its tokens",)


def _recognises(file: LogFile) -> bool:
    return file.values[0].has("backend", "dataset_name", "duration")


READER = Reader("sglang", _recognises, read_sglang)
