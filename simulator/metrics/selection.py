"""Some of a run's requests, as a run of their own."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from simulator.metrics.periods import last_event
from simulator.metrics.user import User
from simulator.token_log import Floats, Ints, RequestEvents, Segments, TokenLog, TokenTimes

Rows = TypeVar("Rows", Segments, RequestEvents)
_COLUMNS = ("arrival", "prompt_length", "output_length", "status", "end", "request_class", "client")


def of_requests(log: TokenLog, ids: Ints) -> TokenLog:
    """The log of these requests alone, renumbered from 0 in their order, which is ascending.

    The iterations are those of the whole run, and so is its end: the others were there. So utilisation and peak KV
    stay the run's, while the queue is that of these requests. Counters are left out.
    """
    place = np.full(log.num_requests, -1, dtype=np.int64)
    place[ids] = np.arange(len(ids))
    return replace(
        log,
        **{name: getattr(log, name)[ids] for name in _COLUMNS},
        reason=tuple(log.reason[i] for i in ids.tolist()),
        segments=_rows_of(log.segments, place),
        events=_rows_of(log.events, place),
        measured=_ragged_of(log.measured, ids),
        delivered=_ragged_of(log.delivered, ids),
        until=last_event(log) if log.num_requests else log.until,
        counters={},
    )


def user_of_requests(user: User, log: TokenLog, ids: Ints) -> User:
    """The user of `log`, as the user of `of_requests(log, ids)`: the readers of these requests, in their order."""
    ttft = user.qoe.expected_ttft(log.prompt_length)[ids]
    return user_by_request(user, user.speeds(log.num_requests)[ids], ttft)


def user_by_request(user: User, speed: Floats, expected_ttft: Floats) -> User:
    """The same user, but for the speed (tokens/s) and the expected TTFT (seconds) of each request, both (n,)."""
    qoe = user.qoe.model_copy(update={"ttft": tuple(expected_ttft.tolist())})
    return user.model_copy(update={"speed": tuple(speed.tolist()), "qoe": qoe})


def _rows_of(rows: Rows | None, place: Ints) -> Rows | None:
    if rows is None:
        return None
    kept = place[rows.request] >= 0
    columns = {field.name: getattr(rows, field.name)[kept] for field in fields(rows)}
    return type(rows)(**{**columns, "request": place[columns["request"]].astype(rows.request.dtype)})


def _ragged_of(tokens: TokenTimes | None, ids: Ints) -> TokenTimes | None:
    if tokens is None:
        return None
    counts = np.diff(tokens.offsets)[ids]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    index = np.arange(offsets[-1]) + np.repeat(tokens.offsets[ids] - offsets[:-1], counts)
    return TokenTimes(tokens.times[index], offsets)
