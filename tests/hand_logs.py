"""Token logs made by hand, and random ones, for the tests of the log and the metrics."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from simulator.token_log import EventKind, RequestEvents, Status, TokenLog, TokenTimes

FINISHED, DROPPED, FAILED, UNFINISHED = Status.FINISHED, Status.DROPPED, Status.FAILED, Status.UNFINISHED
Row = tuple[float, Sequence[float], Status, float]
"""Arrival, token times, how it ended, and when (NaN if it did not)."""


def ragged(rows: Sequence[Sequence[float]]) -> TokenTimes:
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
    return TokenTimes(np.array([t for row in rows for t in row], dtype=np.float64), offsets)


def row(arrival: float, tokens: Sequence[float], status: Status = FINISHED, end: float | None = None) -> Row:
    if end is None:
        end = float("nan") if status == UNFINISHED else max([arrival, *tokens])
    return arrival, tokens, status, end


def log_of(rows: Sequence[Row], window: float = 1.0, **fields: Any) -> TokenLog:
    """A measured log."""
    n = len(rows)
    arrival, tokens, status, end = zip(*rows, strict=True) if n else ((), (), (), ())
    log = TokenLog(
        arrival=np.array(arrival, dtype=np.float64),
        prompt_length=np.full(n, 7),
        output_length=np.array([max(len(t), 1) for t in tokens], dtype=np.int64),
        status=np.array(status, dtype=np.int64),
        end=np.array(end, dtype=np.float64),
        reason=("",) * n,
        request_class=np.zeros(n, dtype=np.int64),
        class_names=("default",),
        client=np.full(n, -1),
        window=window,
        measured=ragged(tokens),
    )
    return replace(log, **fields)


def events_of(events: Sequence[tuple[float, int, EventKind]]) -> RequestEvents:
    ordered = sorted(events, key=lambda event: event[0])
    time, request, kind = zip(*ordered, strict=True) if events else ((), (), ())
    return RequestEvents(
        np.array(time, dtype=np.float64), np.array(request, dtype=np.int64), np.array(kind, dtype=np.int64)
    )


def queue_log(arrival: Sequence[float], admit: Sequence[float], end: Sequence[float]) -> TokenLog:
    """A log with one token each, at the end, that also knows who waited when."""
    rows = [row(a, [e]) for a, e in zip(arrival, end, strict=True)]
    events = events_of([(t, i, EventKind.ADMIT) for i, t in enumerate(admit)])
    return log_of(rows, window=arrival[-1] - arrival[0], events=events)


ticks = st.integers(0, 6400).map(lambda i: i / 64)
"""Dyadic times: their sums and differences are exact."""


@st.composite
def rows(draw: st.DrawFn, min_size: int = 0, max_tokens: int = 12) -> list[Row]:
    """Requests in order of arrival, with any number of tokens and every kind of end."""
    out = []
    for arrival in sorted(draw(st.lists(ticks, min_size=min_size, max_size=8))):
        tokens = [arrival + t for t in sorted(draw(st.lists(ticks, max_size=max_tokens)))]
        status = draw(st.sampled_from(Status))
        out.append(row(arrival, tokens, status, max([arrival, *tokens]) + draw(ticks)))
        if status == UNFINISHED:
            out[-1] = row(arrival, tokens, status)
    return out


def same(a: dict[str, float], b: dict[str, float]) -> bool:
    """Whether two summaries are equal, NaN being equal to NaN."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)
