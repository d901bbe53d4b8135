"""Levels of the replica over time, each a step function: requests waiting and running, KV blocks held."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.timeline.iterations import idle_gaps, iterations
from simulator.token_log import EventKind, Floats, Ints, TokenLog


class Level(NamedTuple):
    """From each of `times` (seconds, ascending) up to the next the level is the value beside it; both (n,)."""

    times: Floats
    values: Ints

    def between(self, start: float, end: float) -> Level:
        """The level over [start, end): the value at `start`, 0 before the first, and every change after it."""
        first, last = np.searchsorted(self.times, start, side="right"), np.searchsorted(self.times, end)
        before = self.values[first - 1] if first else 0
        times = np.concatenate(([start], self.times[first:last]))
        return Level(times, np.concatenate(([before], self.values[first:last])))


def waiting_level(log: TokenLog) -> Level:
    """Requests waiting, the preempted and the swapped included, over the whole run."""
    return _last_of_each_time(*log.waiting_over_time())


def running_level(log: TokenLog) -> Level:
    """Requests running over the whole run: those admitted or resumed, less those preempted or ended since."""
    assert log.events is not None
    starts = (log.events.kind == EventKind.ADMIT) | (log.events.kind == EventKind.RESUME)
    change = np.where(starts, 1, -1)
    runs_at_last = np.bincount(log.events.request, weights=change, minlength=log.num_requests) > 0
    ends = log.end[runs_at_last & np.isfinite(log.end)]
    times = np.concatenate((log.events.time, ends))
    order = np.argsort(times, kind="stable")
    change = np.concatenate((change, np.full(len(ends), -1)))
    return _last_of_each_time(times[order], np.cumsum(change[order]))


def kv_level(log: TokenLog, start: float, end: float) -> Level:
    """KV blocks held in [start, end): during each iteration as of `Iterations`, from its start on.

    While the GPU is idle, none if no request is running; otherwise as many as in the iteration before, of which
    the log does not say how many were given back at its end. Raises ValueError like `check_window`.
    """
    blocks = iterations(log, start, end)
    gaps, _ = idle_gaps(blocks, start, end)
    running = running_level(log)
    at = np.searchsorted(running.times, gaps, side="right")
    empty = np.append(running.values, 0)[at - 1] == 0
    before = np.searchsorted(blocks.start, gaps) - 1
    held = np.where(empty | (before < 0), 0, np.append(blocks.kv_blocks, 0)[before])
    times = np.concatenate((blocks.start, gaps))
    order = np.argsort(times, kind="stable")
    level = Level(times[order], np.concatenate((blocks.kv_blocks, held))[order].astype(np.int64))
    return level.between(start, end)


def _last_of_each_time(times: Floats, values: Ints) -> Level:
    last = np.append(np.diff(times) > 0, np.ones(min(len(times), 1), dtype=np.bool_))
    return Level(times[last], values[last].astype(np.int64))
