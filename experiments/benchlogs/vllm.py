"""`vllm bench serve --save-result --save-detailed`: one JSON object a run, several in a row with --append-result."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.parallel_arrays import array_requests, check_completed
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_names import reported_figures
from experiments.benchlogs.tool_run import Chunks, ToolRun

_LATENCIES = {"ttft": "ttft", "itl": "tbt", "tpot": "tpot", "e2el": "e2e"}


def read_vllm(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """One log for each object in the file.

    Times are `start_times` (perf_counter), which old versions do not have, plus TTFT and gaps between chunks. The
    chat endpoint counts a chunk without text, in which the role is announced, as the first token. The tool's T is
    its `duration`; its TPOT is (E2E − TTFT)/(n − 1), and 0 for n ≤ 1.
    """
    logs = []
    for run in file.values:
        requests = array_requests(run, "--save-detailed")
        tool_run = ToolRun(
            tool="vllm",
            place=run.place,
            requests=requests,
            duration=run["duration"].time(),
            reported=reported_figures(run, _LATENCIES),
            notes=check_completed(run, requests),
            meta={key: run[key].value for key in ("model_id", "date") if isinstance(run.value.get(key), str)},
        )
        logs.append(bench_log(tool_run, chunks))
    return logs


def _recognises(file: LogFile) -> bool:
    return file.values[0].has("endpoint_type", "tokenizer_id") or file.values[0].has("start_times", "itls")


READER = Reader("vllm", _recognises, read_vllm)
