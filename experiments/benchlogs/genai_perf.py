"""GenAI-Perf's (Perf Analyzer's) profile_export.json: one run for each of its `experiments`, a time for each chunk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import MAX_COUNT, Node
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun
from simulator.token_log import Status

_NS = 1e9


class _Response(NamedTuple):
    """What one response says: whether it has text, an error, and how many tokens there were in all, if known."""

    text: bool
    error: bool = False
    num_tokens: int | None = None


def read_genai_perf(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """One log for each experiment.

    Times are in ns on one clock. Responses without text (the role, the usage, [DONE]) are no chunks, as in the tool.
    It does not record how many tokens a chunk holds; the total is known only if the server sent its usage. A
    request with an error in its stream, or without any text, has failed. T runs from first submission to last chunk.
    """
    return [bench_log(_run(experiment), chunks) for experiment in file.values[0]["experiments"].items()]


def _run(experiment: Node) -> ToolRun:
    records = list(experiment["requests"].items())
    starts = [record["timestamp"].count(2**63 - 1) for record in records]
    requests = [_request(r, s, min(starts)) for r, s in zip(records, starts, strict=True)]
    ends = [(r.submitted or 0.0) + float(r.received[-1]) for r in requests if len(r.received)]
    settings = experiment.get("experiment")
    return ToolRun(
        tool="genai-perf",
        place=experiment.place,
        requests=requests,
        duration=max(ends, default=0.0),
        meta={} if settings is None else {"experiment": settings.value},
    )


def _request(record: Node, start: int, first: int) -> ToolRequest:
    stamps = record["response_timestamps"].stamps()
    if len(stamps) and stamps[0] < start:
        record["response_timestamps"].at(0).refuse(f"is earlier than the request's timestamp ({start})")
    responses = _responses(record, len(stamps))
    received = (stamps - start)[[response.text for response in responses]] / _NS
    failed = not len(received) or any(response.error for response in responses)
    length = next((r.num_tokens for r in responses[::-1] if r.num_tokens is not None), None)
    ttft, last = (float(received[0]), float(received[-1])) if len(received) else (np.nan, np.nan)
    return ToolRequest(
        place=record.place,
        submitted=(start - first) / _NS,
        received=received,
        prompt_length=0,
        output_length=length,
        status=Status.FAILED if failed else Status.FINISHED,
        reason="" if not failed else ("error in the stream" if len(received) else "no text"),
        end=float(stamps[-1] - start) / _NS if len(stamps) else np.nan,
        ttft=ttft,
        tpot=(last - ttft) / (length - 1) if length is not None and length > 1 else np.nan,
        e2e=last,
    )


def _responses(record: Node, num_stamps: int) -> list[_Response]:
    outputs = record.get("response_outputs")
    if outputs is None:
        return [_Response(text=True)] * num_stamps
    if outputs.size() != num_stamps:
        outputs.refuse(f"does not match the {num_stamps} response_timestamps")
    return [_response(output) for output in outputs.items()]


def _response(output: Node) -> _Response:
    """What a response says: a JSON object, or server-sent events with one each, or the text itself."""
    body = output.value.get("response", output.value) if isinstance(output.value, dict) else output.value
    if isinstance(body, dict):
        return _event(body)
    if not isinstance(body, str):
        output.refuse("is neither a text nor an object")
    events = [_event(_parsed(event)) for event in body.split("\n\n") if event.strip()]
    tokens = [event.num_tokens for event in events if event.num_tokens is not None]
    return _Response(any(e.text for e in events), any(e.error for e in events), tokens[-1] if tokens else None)


def _parsed(event: str) -> Any:
    """The JSON of one event; its text if it is none (a splinter of a longer event, or plain text)."""
    lines = [line for line in event.strip().splitlines() if not line.startswith((":", "event:", "id:", "retry:"))]
    data = "\n".join(line.removeprefix("data:").strip() for line in lines)
    if "event: error" in event:
        return {"error": data}
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return "" if data == "[DONE]" else data


def _event(body: Any) -> _Response:
    if not isinstance(body, dict):
        return _Response(text=bool(body))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta") or choice.get("message") or {}
    delta = delta if isinstance(delta, dict) else {}
    texts = (delta.get("content"), delta.get("reasoning_content"), choice.get("text"), body.get("text_output"))
    usage = body.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    known = tokens if type(tokens) is int and 0 <= tokens <= MAX_COUNT else None
    return _Response(text=any(texts), error=body.get("error") is not None, num_tokens=known)


def _recognises(file: LogFile) -> bool:
    return file.values[0].has("experiments")


READER = Reader("genai-perf", _recognises, read_genai_perf)
