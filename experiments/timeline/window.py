"""Which stretch of a run to look at when nobody says."""

from __future__ import annotations

from math import floor
from typing import NamedTuple

import numpy as np

from experiments.timeline.reader import Reader
from simulator.metrics.periods import last_event
from simulator.token_log import EventKind, Status, TokenLog

LENGTH = 10.0
"""Seconds shown when nobody says how many."""

_LEAD = 0.2
_CROWD = 5


class Window(NamedTuple):
    """From `start` to `end`, seconds, and why; "" if somebody asked for it."""

    start: float
    end: float
    why: str


def choose_window(
    log: TokenLog, start: float | None = None, end: float | None = None, *, reader: Reader | None = None
) -> Window:
    """[start, end), 10 s long if one of them is not given; if neither is, where the run gets interesting.

    That is where the reader's request arrives, if there is a reader; otherwise around the first preemption; without
    one around the first drop; without one where the number waiting first reaches half of its peak, if that is at
    least 5; failing all of these, at the first arrival. What happens comes after a fifth of the window, which begins
    at a whole second and ends with the run.
    """
    if start is not None or end is not None:
        start = max((end or 0.0) - LENGTH, 0.0) if start is None else start
        return Window(start, start + LENGTH if end is None else end, "")
    if log.events is None or not log.num_requests:
        return Window(0.0, LENGTH, "the beginning")
    first = float(log.arrival[0])
    if reader is None:
        time, why = _first_interesting(log)
    else:
        time, why = float(log.arrival[reader.request]), f"where request {reader.request} arrives"
    start = float(floor(max(time - _LEAD * LENGTH, first)))
    finish = last_event(log)
    return Window(start, min(start + LENGTH, finish) if finish > start else start + LENGTH, why)


def _first_interesting(log: TokenLog) -> tuple[float, str]:
    assert log.events is not None
    preempted = np.isin(log.events.kind, (EventKind.PREEMPT_RECOMPUTE, EventKind.PREEMPT_SWAP))
    if preempted.any():
        time = float(log.events.time[preempted].min())
        return time, f"the first preemption is at {time:.1f} s"
    dropped = log.status == Status.DROPPED
    if dropped.any():
        time = float(log.end[dropped].min())
        return time, f"the first drop is at {time:.1f} s"
    times, waiting = log.waiting_over_time()
    peak = int(waiting.max(initial=0))
    if peak >= _CROWD:
        time = float(times[np.argmax(2 * waiting >= peak)])
        return time, f"the queue first reaches half its peak of {peak} at {time:.1f} s"
    return float(log.arrival[0]), "no queue ever forms, so from the first arrival on"
