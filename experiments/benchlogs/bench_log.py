"""From what a tool recorded to a token log, and what there is to know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from experiments.benchlogs.chunks import token_counts, token_times_are, tokens_over_chunks
from experiments.benchlogs.node import LogError
from experiments.benchlogs.tool_run import Chunks, ToolFigures, ToolRequest, ToolRun
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes


@dataclass(frozen=True, eq=False)
class BenchLog:
    """One run read from a file.

    log: its `meta` says under "token_times" what the times of its tokens are: `exact`, `spread` over chunks,
    `chunks` counted as tokens, `ends` or `end` if only the first and last, or the last, are known (those between
    are filler that no metric may look at); under "arrivals" whether they are `known`, or `unknown` and all 0.
    rows: number of each request in the file, from 0, (n,). format: name of the reader. tool: None where no load
    tool was involved. notes: what a reader of the scores must know, with counts.
    """

    log: TokenLog
    rows: Ints
    format: str
    tool: ToolFigures | None = None
    notes: tuple[str, ...] = ()


def bench_log(run: ToolRun, chunks: Chunks | None = None) -> BenchLog:
    """The token log of a run; its requests are put in order of submission, and time 0 is the first one's.

    chunks: what to do with a finished request whose chunks are not its tokens; None spreads, and says so.
    Raises LogError for a run without requests and as `token_counts` does.
    """
    if not run.requests:
        raise LogError(f"{run.place}: the run has no requests")
    known = all(request.submitted is not None for request in run.requests)
    submitted = np.array([request.submitted if known else 0.0 for request in run.requests], dtype=np.float64)
    rows = np.argsort(submitted, kind="stable").astype(np.int64)
    requests = [run.requests[row] for row in rows]
    counts = token_counts(run, chunks)[rows]
    token_times, notes = token_times_are(run, chunks)
    meta = {**run.meta, "token_times": token_times, "arrivals": "known" if known else "unknown"}
    if not isnan(run.duration):
        meta["tool_duration"] = run.duration
    return BenchLog(
        log=_token_log(requests, submitted[rows] - submitted[rows[0]], counts, meta),
        rows=rows,
        format=run.tool,
        tool=_figures(run, requests),
        notes=(*run.notes, *_oddities(requests, counts), *notes, *([] if known else [_without_arrivals(run)])),
    )


def _token_log(requests: Sequence[ToolRequest], arrival: Floats, counts: Ints, meta: Mapping[str, Any]) -> TokenLog:
    parts = [
        start + tokens_over_chunks(request.received, int(count))
        for request, count, start in zip(requests, counts, arrival, strict=True)
    ]
    lengths = [r.output_length for r in requests]
    return TokenLog(
        arrival=arrival,
        prompt_length=np.array([r.prompt_length for r in requests], dtype=np.int64),
        output_length=np.array(
            [n if n is not None else c for n, c in zip(lengths, counts, strict=True)], dtype=np.int64
        ),
        status=np.array([int(r.status) for r in requests], dtype=np.int64),
        end=arrival + np.array([r.end for r in requests], dtype=np.float64),
        reason=tuple(r.reason for r in requests),
        request_class=np.zeros(len(requests), dtype=np.int64),
        class_names=("default",),
        client=np.full(len(requests), -1, dtype=np.int64),
        window=float(arrival[-1] - arrival[0]),
        measured=TokenTimes(np.concatenate(parts), np.concatenate(([0], np.cumsum(counts)))),
        meta=meta,
    )


def _figures(run: ToolRun, requests: Sequence[ToolRequest]) -> ToolFigures:
    return ToolFigures(
        finished=np.array([r.status == Status.FINISHED for r in requests], dtype=np.bool_),
        ttft=np.array([r.ttft for r in requests], dtype=np.float64),
        tpot=np.array([r.tpot for r in requests], dtype=np.float64),
        e2e=np.array([r.e2e for r in requests], dtype=np.float64),
        duration=run.duration,
        reported=dict(run.reported),
        slo=run.slo,
    )


def _oddities(requests: Sequence[ToolRequest], counts: Ints) -> list[str]:
    """Failed requests that got tokens, and finished ones that got none, counted."""
    failed = [(r, n) for r, n in zip(requests, counts, strict=True) if r.status == Status.FAILED]
    partly = [int(n) for _, n in failed if n]
    silent = sum(r.status == Status.FINISHED and not n for r, n in zip(requests, counts, strict=True))
    notes = []
    if partly:
        notes.append(f"{len(partly)} of {len(failed)} failed requests keep the {sum(partly)} tokens that they received")
    if silent:
        notes.append(f"{silent} of {len(requests)} requests finished without a token")
    return notes


def _without_arrivals(run: ToolRun) -> str:
    silent = "the log does not say when requests were sent"
    if run.duration > 0:
        return f"{silent}: figures per second are per second of its own duration, {run.duration:g} s"
    return f"{silent}, nor how long the run took: figures per second are refused"
