"""llmperf's individual responses: one JSON list of requests, without times of submission or of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import Node
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun
from simulator.token_log import Status


def read_llmperf(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """The one run of a file: TTFT, end-to-end latency and number of tokens of each request.

    A request with an `error_code` has failed. Its `inter_token_latency_s` is the end-to-end latency per token, TTFT
    included, so TPOT is (E2E − TTFT)/(n − 1) here. The tool knows no goodput.
    """
    run = file.values[0]
    requests = [_request(record) for record in run.items()]
    return [bench_log(ToolRun(tool="llmperf", place=run.place, requests=requests, recorded="ends"), chunks)]


def _request(record: Node) -> ToolRequest:
    failed = record["error_code"].value is not None
    ttft, e2e = record["ttft_s"].time(), record["end_to_end_latency_s"].time()
    length = record["number_output_tokens"].count()
    if not failed and length and not 0 < ttft <= e2e:
        record["ttft_s"].refuse(f"of a request that finished with {length} tokens after {e2e:g} s")
    served = not failed and length > 0
    return ToolRequest(
        place=record.place,
        submitted=None,
        received=np.array([ttft, e2e]) if served else np.empty(0),
        prompt_length=record["number_input_tokens"].count(),
        output_length=length,
        status=Status.FAILED if failed else Status.FINISHED,
        reason=f"error {record['error_code'].value}" if failed else "",
        end=nan if failed else e2e,
        ttft=ttft if served else nan,
        e2e=e2e if served else nan,
    )


def _recognises(file: LogFile) -> bool:
    first = file.values[0]
    return isinstance(first.value, list) and any(
        record.has("ttft_s", "end_to_end_latency_s") for record in first.items()
    )


READER = Reader("llmperf", _recognises, read_llmperf)
