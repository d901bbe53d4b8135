"""What a token log must be for metrics to make sense of it, checked when one comes from a file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.token_log import EventKind, RequestEvents, Segments, Status, StepRuns, TokenLog

MAX_TOKENS = 200_000_000
"""Most tokens of one log: 1.6 GB of times."""
MAX_ANSWER = 10_000_000
"""Most tokens of one answer, and so most iterations in which nobody comes or goes."""
_BOOLS = npt.NDArray[np.bool_]


def check_log(log: TokenLog) -> None:
    """Raise ValueError of one line, `table: column …`, for the first entry that no run can have.

    The order of the times of one request's tokens is left to the metrics, which refuse a wrong one.
    """
    _check_requests(log)
    if log.measured is None and log.segments is None:
        raise ValueError("requests: the log has neither segments nor measured times")
    if log.segments is not None:
        if log.runs is None:
            raise ValueError("segments: the log has no runs to go with them")
        _check_runs(log.runs)
        _check_segments(log.segments, log.runs, log.num_requests)
    if log.events is not None:
        _check_events(log.events, log.num_requests)
    for name in ("measured", "delivered"):
        if (ragged := getattr(log, name)) is not None:
            _refuse(~np.isfinite(ragged.times), name, "time", ragged.times, "must be finite")
    if log.delivered is not None and (np.diff(log.delivered.offsets) != log.num_tokens()).any():
        raise ValueError("delivered: not as many times as tokens were generated")


def _refuse(bad: _BOOLS, table: str, column: str, values: npt.NDArray[np.generic], rule: str) -> None:
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{table}: {column} {values[i]} of row {i} {rule}")


def _check_requests(log: TokenLog) -> None:
    _refuse(~np.isfinite(log.arrival) | (log.arrival < 0), "requests", "arrival", log.arrival, "must be finite, ≥ 0 s")
    late = np.diff(log.arrival, prepend=0.0) < 0
    _refuse(late, "requests", "arrival", log.arrival, "is earlier than the one before it")
    for column in ("prompt_length", "output_length"):
        lengths = getattr(log, column)
        _refuse((lengths < 0) | (lengths > 2**31 - 1), "requests", column, lengths, "is no number of tokens")
    _refuse((log.status < 0) | (log.status >= len(Status)), "requests", "status", log.status, "is unknown")
    _refuse(np.isinf(log.end), "requests", "end", log.end, "must be finite or NaN")
    nameless = (log.request_class < 0) | (log.request_class >= len(log.class_names))
    _refuse(nameless, "requests", "request_class", log.request_class, "has no name")


def _check_runs(runs: StepRuns) -> None:
    for column in ("num_steps", "prefill_tokens", "num_decodes", "kv_tokens", "kv_blocks", "kv_blocks_end"):
        values = getattr(runs, column)
        _refuse(values < 0, "runs", column, values, "must be ≥ 0")
    _refuse(runs.num_steps > MAX_ANSWER, "runs", "num_steps", runs.num_steps, f"is over {MAX_ANSWER}")
    for column in ("start", "step_time", "step_growth"):
        values = getattr(runs, column)
        _refuse(~(np.isfinite(values) & (values >= 0)), "runs", column, values, "must be finite, ≥ 0 s")
    if float(runs.num_steps.sum(dtype=np.float64)) > MAX_TOKENS:
        raise ValueError(f"runs: more than {MAX_TOKENS} steps")
    ends = runs.ends()
    _refuse(~np.isfinite(ends), "runs", "step_time", runs.step_time, "makes a run that never ends")
    overlap = np.append(False, runs.start[1:] < ends[:-1]) if len(ends) else np.zeros(0, dtype=np.bool_)
    _refuse(overlap, "runs", "start", runs.start, "is earlier than the end of the run before it")


def _check_segments(segments: Segments, runs: StepRuns, num_requests: int) -> None:
    outside = (segments.request < 0) | (segments.request >= num_requests)
    _refuse(outside, "segments", "request", segments.request, f"is none of {num_requests}")
    for column in ("first_step", "num_steps", "head_tokens"):
        values = getattr(segments, column)
        _refuse(values < 0, "segments", column, values, "must be ≥ 0")
    for column in ("num_steps", "head_tokens"):
        values = getattr(segments, column)
        _refuse(values > MAX_ANSWER, "segments", column, values, f"is over {MAX_ANSWER}")
    last = segments.first_step.astype(np.float64) + segments.num_steps
    num_decodes = int(runs.first_decode_step()[-1])
    beyond = (segments.num_steps > 0) & (last > num_decodes)
    _refuse(beyond, "segments", "num_steps", segments.num_steps, f"goes beyond the {num_decodes} decode steps")
    timeless = (segments.head_tokens > 0) & ~np.isfinite(segments.head)
    _refuse(timeless, "segments", "head", segments.head, "must be finite where there are tokens")
    tokens = segments.num_steps.astype(np.float64) + segments.head_tokens
    if tokens.sum() > MAX_TOKENS:
        raise ValueError(f"segments: more than {MAX_TOKENS} tokens")
    unsorted = np.lexsort((segments.first_step, segments.request)) != np.arange(len(segments.request))
    _refuse(unsorted, "segments", "request", segments.request, "is out of order")


def _check_events(events: RequestEvents, num_requests: int) -> None:
    outside = (events.request < 0) | (events.request >= num_requests)
    _refuse(outside, "events", "request", events.request, f"is none of {num_requests}")
    _refuse((events.kind < 0) | (events.kind >= len(EventKind)), "events", "kind", events.kind, "is unknown")
    _refuse(~np.isfinite(events.time), "events", "time", events.time, "must be finite")
