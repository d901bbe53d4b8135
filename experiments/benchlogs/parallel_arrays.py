"""Runs recorded as parallel arrays over requests, as vLLM's benchmark and SGLang's, which grew out of it, do."""

from __future__ import annotations

from math import nan

import numpy as np

from experiments.benchlogs.node import LogError, Node
from experiments.benchlogs.tool_run import ToolRequest
from simulator.token_log import Floats, Status

_ARRAYS = ("input_lens", "output_lens", "ttfts", "itls")
_OPTIONAL = ("start_times", "errors")


def array_requests(run: Node, details: str) -> list[ToolRequest]:
    """Every request of a run, failed ones as failed, in the order in which they were sent.

    Of a failed request these tools record a TTFT of 0.0, no gaps and an output length of 0. A request failed if it
    has an error, or neither a first token nor gaps nor an output length (some errors have no words).

    details: the option that the tool needs to record requests, for the message. Raises LogError for arrays that
    are missing, of different lengths, or hold anything but lengths and times.
    """
    missing = [name for name in _ARRAYS if run.get(name) is None]
    if missing:
        raise LogError(f"{run.place}: {missing[0]} is missing: requests are recorded only with {details}")
    columns = {name: run[name] for name in (*_ARRAYS, *_OPTIONAL) if run.get(name) is not None}
    num_requests = columns["input_lens"].size()
    for column in columns.values():
        if column.size() != num_requests:
            raise LogError(f"{column.place} has {column.size()} entries, input_lens has {num_requests}")
    return [_request(columns, i) for i in range(num_requests)]


def _request(columns: dict[str, Node], i: int) -> ToolRequest:
    ttft, gaps = columns["ttfts"].at(i).time(), columns["itls"].at(i).times()
    length = columns["output_lens"].at(i).count()
    error = columns["errors"].at(i).text() if "errors" in columns and columns["errors"].at(i).value else ""
    nothing = not ttft and not len(gaps) and not length
    failed = bool(error) or nothing
    if not failed and length and not ttft:
        columns["ttfts"].at(i).refuse(f"of a request that finished with {length} tokens")
    received = _received(ttft, gaps)
    streaming = float(gaps.sum())
    return ToolRequest(
        place=columns["itls"].at(i).place,
        submitted=columns["start_times"].at(i).time(least=None) if "start_times" in columns else None,
        received=received,
        prompt_length=columns["input_lens"].at(i).count(),
        output_length=length,
        status=Status.FAILED if failed else Status.FINISHED,
        reason=(error or "no answer, no error recorded") if failed else "",
        end=float(received[-1]) if len(received) else nan,
        ttft=ttft,
        tpot=streaming / (length - 1) if length > 1 else 0.0,
        e2e=ttft + streaming,
    )


def _received(ttft: float, gaps: Floats) -> Floats:
    """Times of chunks since submission; none without a first one."""
    return np.cumsum(np.concatenate(([ttft], gaps))) if ttft or len(gaps) else np.empty(0)


def check_completed(run: Node, requests: list[ToolRequest]) -> tuple[str, ...]:
    """A note if the tool counts other requests as completed than are finished here."""
    finished = sum(request.status == Status.FINISHED for request in requests)
    node = run.get("completed")
    if node is None or node.count() == finished:
        return ()
    return (f"the tool says that {node.value} requests completed, its arrays that {finished} did",)
