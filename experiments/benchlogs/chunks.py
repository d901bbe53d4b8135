"""Chunks and tokens: a streamed chunk may hold several tokens or none, so their counts may differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchlogs.node import LogError
from experiments.benchlogs.tool_run import Chunks, ToolRequest, ToolRun
from experiments.log_checks import MAX_ANSWER, MAX_TOKENS
from simulator.token_log import Floats, Ints, Status


def tokens_over_chunks(received: Floats, num_tokens: int) -> Floats:
    """`num_tokens` times spread evenly over the times of chunks, the first and the last kept; (num_tokens,).

    Token j of n lies at chunk 1 + (j − 1)·(k − 1)/(n − 1) of k, linear in time between two chunks. One token
    alone comes with the first chunk.
    """
    if num_tokens == len(received):
        return received
    if num_tokens <= 1:
        return received[:num_tokens]
    position = np.linspace(0.0, len(received) - 1.0, num_tokens)
    return np.interp(position, np.arange(len(received), dtype=np.float64), received)


def token_counts(run: ToolRun, chunks: Chunks | None) -> Ints:
    """How many tokens each request of the run received, (n,): as the tool counts them if it finished, else its chunks.

    Raises LogError for a finished request with tokens but no time of any, for more than `MAX_ANSWER` of one or
    `MAX_TOKENS` in all and, if chunks are to be refused, for the first request whose chunks are not its tokens.
    """
    if chunks == "refuse" and (uneven := _uneven(run)):
        length = uneven[0].output_length
        known = f"{length} tokens" if length is not None else "an unknown number of tokens"
        raise LogError(f"{uneven[0].place}: {len(uneven[0].received)} chunks for {known}")
    counts = np.array([_tokens_of(run, request, chunks) for request in run.requests], dtype=np.int64)
    total, most = int(counts.sum()), int(counts.max(initial=0))
    if most > MAX_ANSWER or total > MAX_TOKENS:
        where, limit = run.requests[int(counts.argmax())].place, MAX_ANSWER if most > MAX_ANSWER else MAX_TOKENS
        raise LogError(f"{where}: {most} tokens, {total} in all: more than {limit} are not read")
    return counts


def token_times_are(run: ToolRun, chunks: Chunks | None) -> tuple[str, list[str]]:
    """What the times of the run's tokens are, as `BenchLog` has it, and what there is to say about it."""
    if run.recorded != "chunks":
        words = {"ends": "the first and the last token", "end": "the end"}[run.recorded]
        return run.recorded, [f"the tool records only {words} of a request: metrics of the tokens between are refused"]
    uneven = _uneven(run)
    uncounted = sum(r.status == Status.FINISHED and r.output_length is None for r in run.requests)
    if uncounted:
        return "chunks", [
            f"the tool does not count the tokens of {uncounted} of {len(run.requests)} requests: "
            f"each chunk is counted as one"
        ]
    if not uneven:
        return "exact", []
    num_chunks, num_tokens = sum(len(r.received) for r in uneven), sum(r.output_length or 0 for r in uneven)
    counted = f"{len(uneven)} of {len(run.requests)} requests have {num_chunks} chunks for {num_tokens} tokens"
    if chunks == "as-is":
        return "chunks", [f"{counted}: each chunk is counted as a token"]
    return "spread", [f"{counted}: the tokens are spread evenly over the chunks"]


def _uneven(run: ToolRun) -> Sequence[ToolRequest]:
    """Finished requests whose chunks are not known to be their tokens."""
    if run.recorded != "chunks":
        return []
    finished = [r for r in run.requests if r.status == Status.FINISHED and len(r.received)]
    return [r for r in finished if r.output_length != len(r.received)]


def _tokens_of(run: ToolRun, request: ToolRequest, chunks: Chunks | None) -> int:
    num_received, finished = len(request.received), request.status == Status.FINISHED
    if not num_received:
        if finished and request.output_length:
            raise LogError(f"{request.place}: {request.output_length} tokens, but no time of any (was it streamed?)")
        return 0
    if run.recorded != "chunks":
        return request.output_length or 0
    counted_by_tool = finished and chunks != "as-is" and request.output_length is not None
    return int(request.output_length or 0) if counted_by_tool else num_received
