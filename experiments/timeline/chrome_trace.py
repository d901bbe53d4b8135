"""A stretch of a run in the Chrome trace event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Source: the "Trace Event Format" document of the Chromium project. Times are microseconds, to whole nanoseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any

from experiments.timeline.iterations import Kind, check_window, iterations
from experiments.timeline.levels import Level, kv_level, running_level, waiting_level
from experiments.timeline.phases import first_token_time, phases, requests_between
from simulator.token_log import Status, TokenLog

Event = dict[str, Any]

GPU, REQUESTS = 1, 2
"""Numbers of the two processes."""

_ITERATIONS = 1
_KIND_NAMES = {Kind.PREFILL: "prefill", Kind.CHUNK: "prefill + decode", Kind.DECODE: "decode"}
_ENDINGS = {Status.DROPPED: "dropped", Status.FAILED: "failed"}


def chrome_trace(log: TokenLog, start: float, end: float) -> dict[str, Any]:
    """The trace of [start, end), seconds, as JSON objects; `json.dumps` makes a file of it.

    Process 1 is the GPU: a complete event ("X") per iteration with its batch as arguments, and counters ("C") of KV
    blocks and of requests waiting and running. Process 2 has a thread per request, number + 1: a complete event per
    phase, and instants ("i") for the first token and for a drop. Iterations are whole; phases are cut at the window.
    Metadata ("M") comes first, everything else in order of time. Raises ValueError like `iterations`.
    """
    check_window(log, start, end)
    requests = requests_between(log, start, end).tolist()
    events = [*_iteration_events(log, start, end), *_counters(log, start, end)]
    for request in requests:
        events += _request_events(log, request, start, end)
    names = [*_process("GPU", GPU), _name("thread", "iterations", GPU, _ITERATIONS), *_process("requests", REQUESTS)]
    names += [_name("thread", f"request {request}", REQUESTS, request + 1) for request in requests]
    events.sort(key=lambda event: event["ts"])
    about = {key: log.meta[key] for key in ("policy", "profile", "workload", "seed") if key in log.meta}
    return {"traceEvents": names + events, "displayTimeUnit": "ms", "otherData": about}


def write_chrome_trace(log: TokenLog, start: float, end: float, path: Path) -> None:
    """Write the trace to `path`, an event to a line. Raises ValueError like `chrome_trace`, or OSError."""
    trace = chrome_trace(log, start, end)
    events = ",\n".join(json.dumps(event) for event in trace.pop("traceEvents"))
    rest = json.dumps(trace)[1:]
    path.write_text(f'{{"traceEvents": [\n{events}\n], {rest}\n', encoding="utf-8")


def _iteration_events(log: TokenLog, start: float, end: float) -> Iterator[Event]:
    blocks = iterations(log, start, end)
    columns = (blocks.start, blocks.end, blocks.kind, blocks.prefill_tokens, blocks.num_decodes, blocks.kv_blocks)
    for begin, finish, kind, prefill, decodes, held in zip(*(c.tolist() for c in columns), strict=True):
        batch = {"prefill_tokens": prefill, "num_decodes": decodes, "kv_blocks": held}
        yield _complete(_KIND_NAMES[Kind(kind)], "iteration", GPU, _ITERATIONS, (begin, finish), batch)


def _request_events(log: TokenLog, request: int, start: float, end: float) -> Iterator[Event]:
    thread = request + 1
    lengths = {"prompt_length": int(log.prompt_length[request]), "output_length": int(log.output_length[request])}
    for phase, begin, finish in phases(log, request):
        if begin < end and finish > start:
            span = max(begin, start), min(finish, end)
            yield _complete(phase.value, "phase", REQUESTS, thread, span, lengths)
    first, left = first_token_time(log, request), float(log.end[request])
    if start <= first < end:
        yield _instant("first token", thread, first, {"ttft": first - float(log.arrival[request])})
    ending = _ENDINGS.get(Status(int(log.status[request])))
    if ending and not isnan(left) and start <= left < end:
        yield _instant(ending, thread, left, {"reason": log.reason[request]})


def _counters(log: TokenLog, start: float, end: float) -> Iterator[Event]:
    levels = {
        ("KV blocks", "held"): kv_level(log, start, end),
        ("waiting", "requests"): waiting_level(log).between(start, end),
        ("running", "requests"): running_level(log).between(start, end),
    }
    for (name, series), level in levels.items():
        yield from _counter(name, series, level)


def _counter(name: str, series: str, level: Level) -> Iterator[Event]:
    for time, value in zip(level.times.tolist(), level.values.tolist(), strict=True):
        yield {"ph": "C", "name": name, "pid": GPU, "tid": 0, "ts": _ns(time) / 1000, "args": {series: value}}


def _complete(
    name: str, category: str, process: int, thread: int, span: tuple[float, float], arguments: Mapping[str, Any]
) -> Event:
    """Start and duration are differences of whole nanoseconds, so that neighbours touch and never overlap."""
    begin, finish = map(_ns, span)
    place = {"pid": process, "tid": thread, "ts": begin / 1000, "dur": (finish - begin) / 1000}
    return {"ph": "X", "name": name, "cat": category, **place, "args": dict(arguments)}


def _instant(name: str, thread: int, time: float, arguments: Mapping[str, Any]) -> Event:
    """Of one thread ("s": "t")."""
    place = {"pid": REQUESTS, "tid": thread, "ts": _ns(time) / 1000, "s": "t"}
    return {"ph": "i", "name": name, "cat": "phase", **place, "args": dict(arguments)}


def _process(name: str, process: int) -> list[Event]:
    """Its name, and its place in the list."""
    order = {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0, "args": {"sort_index": process}}
    return [_name("process", name, process, 0), order]


def _name(what: str, name: str, process: int, thread: int) -> Event:
    return {"ph": "M", "name": f"{what}_name", "pid": process, "tid": thread, "args": {"name": name}}


def _ns(time: float) -> int:
    return round(time * 1e9)
