"""What a request went through: waiting, prefill, decode, paused, preempted, swapped, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import pairwise
from math import isnan
from typing import NamedTuple

import numpy as np

from experiments.timeline.iterations import boundaries
from simulator.metrics.periods import last_event
from simulator.token_log import EventKind, Floats, Ints, Status, TokenLog


class Phase(Enum):
    """What happens to a request for a while; the value is what it is called in pictures."""

    WAITING = "waiting"
    PREFILL = "prefill"
    """From the start of its prefill to the token at the end of it, pauses between its chunks included."""
    DECODE = "decode"
    """An iteration that gives it a token is under way."""
    PAUSED = "paused"
    """It is prefilled and keeps its cache, but is in no batch: others are prefilled, or its policy left it out."""
    PREEMPTED = "preempted"
    """It waits without a cache, and will be prefilled anew."""
    SWAPPED = "swapped"
    """It waits, and its cache lies in host memory."""


class Stay(NamedTuple):
    """A stretch of time that a request spends in one phase, seconds."""

    phase: Phase
    start: float
    end: float


class _Cut(NamedTuple):
    """From `time` on the request is in `phase`."""

    time: float
    phase: Phase


def requests_between(log: TokenLog, start: float, end: float) -> Ints:
    """Numbers of the requests that are in the system at some time in [start, end), in order of arrival."""
    left = np.where(np.isnan(log.end), np.inf, log.end)
    return np.flatnonzero((log.arrival < end) & (left > start))


def check_requests(log: TokenLog, requests: Iterable[int]) -> None:
    """Raise ValueError, with one line, for a number that no request of `log` has."""
    for request in requests:
        if not 0 <= request < log.num_requests:
            raise ValueError(f"request {request}: the run has requests 0 to {log.num_requests - 1}")


def phases(log: TokenLog, request: int) -> list[Stay]:
    """The stays of `request` of a simulated run, which tile the time from its arrival to its end.

    Neighbours differ in phase and none is empty. One that never ended is followed up to the last event of the
    run, or its own last change of phase where the run was stopped right after it; one that was rejected has no stay.
    """
    cuts = _cuts(log, request)
    left = log.status[request] != Status.UNFINISHED
    end = float(log.end[request]) if left else max(last_event(log), cuts[-1].time)
    ends = [cut.time for cut in cuts[1:]] + [end]
    begins, finishes = _decode_times(log, request)
    stays: list[Stay] = []
    for cut, until in zip(cuts, ends, strict=True):
        if cut.phase is Phase.PAUSED:
            within = slice(*np.searchsorted(begins, [cut.time, until]))
            stays += _with_decodes(cut.time, until, begins[within].tolist(), finishes[within].tolist())
        else:
            stays.append(Stay(cut.phase, cut.time, until))
    return _merged([stay for stay in stays if stay.start < stay.end])


def first_token_time(log: TokenLog, request: int) -> float:
    """When the first token of `request` was generated, seconds; NaN if it never had one."""
    times = log.generated_times(request, request + 1).times
    return float(times[0]) if len(times) else float("nan")


def _cuts(log: TokenLog, request: int) -> list[_Cut]:
    """Changes of phase in order of time; whoever is prefilled counts as paused, decoding or not."""
    assert log.events is not None
    mine = log.events.request == request
    times, kinds = log.events.time[mine].tolist(), log.events.kind[mine].tolist()
    cuts = [_Cut(float(log.arrival[request]), Phase.WAITING)]
    starts, heads = _segment_starts(log, request)
    for (time, until), kind in zip(pairwise([*times, np.inf]), kinds, strict=True):
        if kind == EventKind.PREEMPT_RECOMPUTE:
            cuts.append(_Cut(time, Phase.PREEMPTED))
        elif kind == EventKind.PREEMPT_SWAP:
            cuts.append(_Cut(time, Phase.SWAPPED))
        else:
            cuts += _runs_again(cuts[-1].phase, time, until, starts, heads)
    return cuts


def _runs_again(before: Phase, time: float, until: float, starts: Floats, heads: Floats) -> list[_Cut]:
    """The cuts of a request that is admitted or resumed at `time` and goes on until the event at `until`.

    The first token that follows says whether a prefill ended with it or a cache had come back. If none does, what
    came before decides: a swapped request is taken to be back, though its prefill may have begun anew.
    """
    later = np.flatnonzero(np.where(np.isnan(heads), starts >= time, starts > time) & (starts <= until))
    by_prefill = not isnan(heads[later[0]]) if len(later) else before is not Phase.SWAPPED
    if not by_prefill:
        return [_Cut(time, Phase.PAUSED)]
    prefilled = [_Cut(float(heads[later[0]]), Phase.PAUSED)] if len(later) else []
    return [_Cut(time, Phase.PREFILL), *prefilled]


def _segment_starts(log: TokenLog, request: int) -> tuple[Floats, Floats]:
    """When each segment of tokens of `request` begins, and the times of their heads, NaN without one; (n,) each."""
    assert log.segments is not None
    assert log.runs is not None
    mine = slice(*np.searchsorted(log.segments.request, [request, request + 1]))
    heads, steps = log.segments.head[mine], log.segments.first_step[mine]
    starts = heads.copy()
    headless = np.flatnonzero(np.isnan(heads))
    firsts = log.runs.first_decode_step()
    run = np.searchsorted(firsts, steps[headless], side="right") - 1
    starts[headless] = boundaries(log.runs, run, steps[headless] - firsts[run])
    return starts, heads


def _decode_times(log: TokenLog, request: int) -> tuple[Floats, Floats]:
    """Starts and ends of the stretches in which decode steps of `request` run without a change of the batch."""
    assert log.segments is not None
    assert log.runs is not None
    mine = slice(*np.searchsorted(log.segments.request, [request, request + 1]))
    first = log.segments.first_step[mine]
    last = first + log.segments.num_steps[mine]
    first, last = first[last > first], last[last > first]
    firsts = log.runs.first_decode_step()
    low = np.searchsorted(firsts, first, side="right") - 1
    counts = np.searchsorted(firsts, last, side="left") - low
    run = np.repeat(low, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = np.maximum(np.repeat(first, counts), firsts[run])
    finish = np.minimum(np.repeat(last, counts), firsts[run + 1])
    some = finish > begin
    run, begin, finish = run[some], begin[some] - firsts[run[some]], finish[some] - firsts[run[some]]
    return boundaries(log.runs, run, begin), boundaries(log.runs, run, finish)


def _with_decodes(start: float, end: float, begins: list[float], finishes: list[float]) -> list[Stay]:
    """A stay of a prefilled request, decoding in these stretches and paused between them."""
    stays, at = [], start
    for begin, finish in zip(begins, finishes, strict=True):
        stays += [Stay(Phase.PAUSED, at, begin), Stay(Phase.DECODE, begin, finish)]
        at = finish
    return [*stays, Stay(Phase.PAUSED, at, end)]


def _merged(stays: list[Stay]) -> list[Stay]:
    merged: list[Stay] = []
    for stay in stays:
        if merged and merged[-1].phase is stay.phase:
            merged[-1] = merged[-1]._replace(end=stay.end)
        else:
            merged.append(stay)
    return merged
