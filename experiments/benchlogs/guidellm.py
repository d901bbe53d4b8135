"""GuideLLM's benchmarks.json: one run for each of its `benchmarks`, with only the first and last token's times."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import Node
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_names import finite, slo_in_ms
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun
from simulator.metrics import SLO
from simulator.token_log import Floats, Status

_GROUPS = {"successful": Status.FINISHED, "errored": Status.FAILED, "incomplete": Status.UNFINISHED}
_BOUNDS = {"ttft_ms": "ttft", "tpot_ms": "tpot", "e2el_ms": "e2e"}
_STATISTICS = {"mean": "mean", "p50": "p50", "p90": "p90", "p99": "p99"}


def read_guidellm(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """One log for each benchmark.

    Times are Unix seconds: `request_start` to the first and the last token; `request_end` is the end. An
    incomplete request was cut off by the end of the benchmark and stays unfinished; one that was never sent is
    left out and counted. The tool's T is the benchmark's `duration`. It bounds TPOT by its inter-token latency,
    (t_n − t_1)/(n − 1): what it reports as time per output token includes the TTFT.
    """
    return [bench_log(_run(benchmark), chunks) for benchmark in file.values[0]["benchmarks"].items()]


def _run(benchmark: Node) -> ToolRun:
    groups = {group: benchmark["requests"].get(group) for group in _GROUPS}
    records = [(r, _GROUPS[group]) for group, node in groups.items() if node is not None for r in node.items()]
    sent = [(r, status) for r, status in records if status != Status.UNFINISHED or _start(r) is not None]
    streamed = all(_timings(r).get("first_token_iteration") for r, status in sent if status == Status.FINISHED)
    notes = []
    if len(sent) < len(records):
        notes.append(f"{len(records) - len(sent)} incomplete requests were never sent: left out")
    total = benchmark["metrics"]["request_totals"]["total"].count()
    if total != len(records):
        notes.append(f"the file holds {len(records)} of the {total} requests of the run")
    return ToolRun(
        tool="guidellm",
        place=benchmark.place,
        requests=[_request(record, status, streamed) for record, status in sent],
        recorded="ends" if streamed else "end",
        duration=benchmark["duration"].time(),
        reported=_reported(benchmark["metrics"]),
        slo=_slo(benchmark),
        notes=tuple(notes),
    )


def _timings(record: Node) -> Node:
    return record["info"]["timings"]


def _start(record: Node) -> Node | None:
    """When it was sent, or was about to be when it failed."""
    timings = _timings(record)
    return timings.get("request_start") or timings.get("resolve_start")


def _request(record: Node, status: Status, streamed: bool) -> ToolRequest:
    timings = _timings(record)
    start = (_start(record) or timings["request_start"]).time()
    received = _since(
        start, timings, ["first_token_iteration", "last_token_iteration"] if streamed else ["request_end"]
    )
    end = _since(start, timings, ["request_end"])
    tokens = record.get("output_tokens") or timings.get("token_iterations")
    prompt = record.get("prompt_tokens")
    return ToolRequest(
        place=record.place,
        submitted=start,
        received=received if streamed or status == Status.FINISHED else np.empty(0),
        prompt_length=0 if prompt is None else prompt.count(),
        output_length=0 if tokens is None else tokens.count(),
        status=status,
        reason=_reason(record["info"]) if status == Status.FAILED else "",
        end=float(end[0]) if len(end) and status != Status.UNFINISHED else nan,
        ttft=_figure(record, "time_to_first_token_ms", "ms"),
        tpot=_figure(record, "inter_token_latency_ms", "ms"),
        e2e=_figure(record, "request_latency", "s"),
    )


def _since(start: float, timings: Node, names: Sequence[str]) -> Floats:
    """The times that are there, from `start` on; none may be before the one before it."""
    times, before = [], start
    for name in names:
        node = timings.get(name)
        if node is not None:
            time = node.time()
            if time < before:
                node.refuse(f"is earlier than the time before it ({before})")
            times.append(time - start)
            before = time
    return np.array(times, dtype=np.float64)


def _reason(info: Node) -> str:
    error = info.get("error")
    return "error" if error is None else " ".join(str(error.value).split())


def _figure(record: Node, name: str, unit: str) -> float:
    node = record.get(name)
    return nan if node is None else node.time(unit)


def _reported(metrics: Node) -> dict[str, float]:
    """Its distributions over successful requests; those that it weights by tokens are not ours, and left out."""
    figures = {}
    for theirs, ours, unit in (("time_to_first_token_ms", "ttft", "ms"), ("request_latency", "e2e", "s")):
        distribution = _successful(metrics, theirs)
        for name in _STATISTICS if distribution is not None and distribution["count"].count() else ():
            assert distribution is not None
            where = distribution if name == "mean" else distribution["percentiles"]
            figures[f"{ours}_{name}_tool"] = where[name].time(unit)
    for theirs, ours in (
        ("request_goodput", "goodput_requests_per_s_reported_tool"),
        ("requests_per_second", "throughput_requests_per_s_tool"),
    ):
        distribution = _successful(metrics, theirs)
        if distribution is not None:
            figures[ours] = distribution["mean"].number()
    attainment = finite(metrics.get("slo_attainment"))
    return figures if attainment is None else {**figures, "slo_attainment_reported_tool": attainment}


def _successful(metrics: Node, name: str) -> Node | None:
    node = metrics.get(name)
    return None if node is None else node.get("successful")


def _slo(benchmark: Node) -> SLO | None:
    config = benchmark.get("config")
    bounds = None if config is None else config.get("slo")
    return slo_in_ms(bounds, _BOUNDS)


def _recognises(file: LogFile) -> bool:
    first = file.values[0]
    return first.has("benchmarks") and isinstance(first["benchmarks"].value, list)


READER = Reader("guidellm", _recognises, read_guidellm)
