"""`aiperf profile`: profile_export.jsonl, one JSON object a request; its summary is read if it lies beside."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from pathlib import Path

import numpy as np

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import LogError, Node
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_names import slo_in_ms
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun
from simulator.metrics import SLO
from simulator.token_log import Floats, Status

_LATENCIES = {
    "time_to_first_token": "ttft",
    "inter_chunk_latency": "tbt",
    "inter_token_latency": "tpot",
    "request_latency": "e2e",
}
_STATISTICS = {"avg": "mean", "p50": "p50", "p90": "p90", "p99": "p99"}
_AVERAGES = {
    "request_throughput": "throughput_requests_per_s_tool",
    "output_token_throughput": "throughput_tokens_per_s_tool",
    "goodput": "goodput_requests_per_s_reported_tool",
}
_NS = 1e9


def read_aiperf(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """The one run of a file.

    Times are `request_start_ns` (Unix) plus the TTFT and the gaps between chunks. A record with an error, or
    cancelled, has failed; its metrics are usually empty. Records of the warm-up are left out and counted, as the
    tool does. Without streaming only the end is recorded. T is what the tool's summary divides by; without the
    summary it is that of the tool's documentation, first submission to last end. An undefined metric of a request
    (inter_token_latency of one token) makes it not good where it is bounded.
    """
    if file.values[0].has("aiperf_version"):
        raise LogError(f"{file.values[0].place}: AIPerf's summary has no requests: score the .jsonl file beside it")
    phases = [record["metadata"].get("benchmark_phase") for record in file.values]
    records = [r for r, phase in zip(file.values, phases, strict=True) if phase is None or phase.value != "warmup"]
    if not records:
        raise LogError(f"{file.path}: all {len(phases)} records are of the warm-up")
    starts = [record["metadata"]["request_start_ns"].count(2**63 - 1) for record in records]
    streamed = all("time_to_first_token" in r["metrics"].value for r in records if _is_good(r))
    requests = [_request(r, s, min(starts), streamed) for r, s in zip(records, starts, strict=True)]
    summary = _summary(file.path)
    left_out = len(phases) - len(records)
    run = ToolRun(
        tool="aiperf",
        place=str(file.path),
        requests=requests,
        recorded="chunks" if streamed else "end",
        duration=_duration(records, min(starts)) if summary is None else _divisor(summary),
        reported={} if summary is None else _reported(summary),
        slo=_slo(summary),
        notes=(f"{left_out} requests of the warm-up are left out, as the tool does",) if left_out else (),
        meta={"first_timestamp": min(starts) / _NS},
    )
    return [bench_log(run, chunks)]


def _is_good(record: Node) -> bool:
    cancelled = record["metadata"].get("was_cancelled")
    return record.get("error") is None and not (cancelled and cancelled.value is True)


def _request(record: Node, start: int, first: int, streamed: bool) -> ToolRequest:
    metrics, good = record["metrics"], _is_good(record)
    latency = _time(metrics, "request_latency", required=good)
    ttft = _time(metrics, "time_to_first_token")
    received = _received(metrics, ttft) if streamed else np.array([latency])
    end = (record["metadata"]["request_end_ns"].count(2**63 - 1) - start) / _NS
    if end < 0:
        record["metadata"]["request_end_ns"].refuse(f"is earlier than request_start_ns ({start})")
    return ToolRequest(
        place=record.place,
        submitted=(start - first) / _NS,
        received=received[~np.isnan(received)],
        prompt_length=_count(metrics, "input_sequence_length") or 0,
        output_length=_count(metrics, "output_sequence_length"),
        status=Status.FINISHED if good else Status.FAILED,
        reason="" if good else _reason(record),
        end=end,
        ttft=ttft,
        tpot=_time(metrics, "inter_token_latency"),
        e2e=latency,
    )


def _received(metrics: Node, ttft: float) -> Floats:
    gaps = metrics.get("inter_chunk_latency")
    later = np.empty(0) if gaps is None else gaps["value"].times(gaps["unit"].text())
    return np.cumsum(np.concatenate(([ttft], later)))


def _time(metrics: Node, name: str, required: bool = False) -> float:
    metric = metrics[name] if required else metrics.get(name)
    return nan if metric is None else metric["value"].time(metric["unit"].text())


def _count(metrics: Node, name: str) -> int | None:
    metric = metrics.get(name)
    return None if metric is None else metric["value"].count()


def _reason(record: Node) -> str:
    error = record.get("error")
    if error is None:
        return "cancelled"
    parts = [str(error[key].value) for key in ("code", "type") if error.has(key) and error[key].value is not None]
    return " ".join(parts) or "error"


def _duration(records: Sequence[Node], first: int) -> float:
    return (max(record["metadata"]["request_end_ns"].count(2**63 - 1) for record in records) - first) / _NS


def _summary(path: Path) -> Node | None:
    beside = path.with_name(f"{path.stem}_aiperf.json")
    return LogFile(beside).values[0] if beside.is_file() else None


def _divisor(summary: Node) -> float:
    """The T by which the summary's throughputs are per second; `benchmark_duration` is a shorter one."""
    rate = summary["request_throughput"]["avg"].number(0)
    return summary["request_count"]["avg"].number(0) / rate if rate else nan


def _reported(summary: Node) -> dict[str, float]:
    figures = {}
    for theirs, ours in _LATENCIES.items():
        metric = summary.get(theirs)
        for statistic, name in _STATISTICS.items():
            if metric is not None and metric.get(statistic) is not None:
                figures[f"{ours}_{name}_tool"] = metric[statistic].time(metric["unit"].text())
    for theirs, ours in _AVERAGES.items():
        metric = summary.get(theirs)
        if metric is not None:
            figures[ours] = metric["avg"].number()
    return figures


def _slo(summary: Node | None) -> SLO | None:
    config = None if summary is None else summary.get("input_config")
    bounds = None if config is None else config.get("slos")
    return slo_in_ms(bounds, _LATENCIES)


def _recognises(file: LogFile) -> bool:
    first = file.values[0]
    return first.has("aiperf_version") or (
        first.has("metadata", "metrics") and first["metadata"].has("request_start_ns")
    )


READER = Reader("aiperf", _recognises, read_aiperf)
