"""The record of a run, simulated or measured: who asked, which tokens came when, and what the replica did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from math import isnan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
"""Whole numbers; those of `Segments`, `StepRuns` and `RequestEvents` may be of 4 bytes where all of them fit."""


class Status(IntEnum):
    """How a request ended."""

    UNFINISHED = 0
    """Still in the system when the run ended; its end is NaN."""
    FINISHED = 1
    DROPPED = 2
    """Abandoned by the scheduler; it keeps the tokens that it got."""
    FAILED = 3
    """Never served: rejected, or an error of the server."""


class EventKind(IntEnum):
    """What happened to a request besides arrival, tokens and end."""

    ADMIT = 0
    """Its first prefill begins."""
    PREEMPT_RECOMPUTE = 1
    PREEMPT_SWAP = 2
    RESUME = 3
    """It runs again after a preemption: its prefill begins anew, or its cache comes back."""


class TokenTimes(NamedTuple):
    """Token times of consecutive requests, ragged: request i has times[offsets[i]:offsets[i + 1]], seconds."""

    times: Floats
    offsets: Ints


@dataclass(frozen=True, eq=False)
class Segments:
    """Stretches of tokens of one request, sorted by (request, first step). All arrays are (num_segments,).

    A segment is `head_tokens` tokens at the time `head`, seconds (the one that the end of a prefill produced, or
    those that speculation added to a decode step; 0 and NaN if it began after a pause), then one token at the end
    of each of the replica's decode steps first_step … first_step + num_steps − 1.
    """

    request: Ints
    head: Floats
    first_step: Ints
    num_steps: Ints
    head_tokens: Ints


@dataclass(frozen=True, eq=False)
class StepRuns:
    """Runs of iterations of an unchanged batch, in order of time. All arrays are (num_runs,).

    Boundary j (1 … num_steps) of a run lies at start + (j·step_time + step_growth·(j·(j − 1)/2)) seconds.
    A run with decodes makes num_steps decode steps, numbered on from the run before; one without makes none.
    prefill_tokens, num_decodes: of each iteration; kv_tokens: read by the decodes of the first
    one, growing by num_decodes an iteration; kv_blocks, kv_blocks_end: held during the first and the last one.
    """

    start: Floats
    num_steps: Ints
    step_time: Floats
    step_growth: Floats
    prefill_tokens: Ints
    num_decodes: Ints
    kv_tokens: Ints
    kv_blocks: Ints
    kv_blocks_end: Ints

    def ends(self, which: slice = slice(None)) -> Floats:
        """Time at which each run ended, or each of `which`, seconds."""
        steps = self.num_steps[which].astype(np.float64)
        return _boundary(self.start[which], steps, self.step_time[which], self.step_growth[which])

    def first_decode_step(self) -> Ints:
        """Number of the first decode step of each run, (num_runs + 1,); the last entry counts them all."""
        return self._first_decode_step

    @cached_property
    def _first_decode_step(self) -> Ints:
        """Counted once: every chunk of requests asks for it."""
        steps = np.where(self.num_decodes > 0, self.num_steps, 0)
        return np.concatenate(([0], np.cumsum(steps, dtype=np.int64)))

    def decode_step_ends(self, first_step: int, last_step: int) -> Floats:
        """Times at which decode steps first_step … last_step − 1 ended, seconds."""
        firsts = self.first_decode_step()
        lo = int(np.searchsorted(firsts, first_step, side="right")) - 1
        hi = int(np.searchsorted(firsts, last_step, side="left"))
        counts = np.diff(firsts[lo : hi + 1])
        run = np.repeat(np.arange(lo, hi), counts)
        step = np.arange(firsts[lo], firsts[hi])
        j = (step - firsts[run] + 1).astype(np.float64)
        ends = _boundary(self.start[run], j, self.step_time[run], self.step_growth[run])
        return ends[first_step - firsts[lo] : last_step - firsts[lo]]


@dataclass(frozen=True, eq=False)
class RequestEvents:
    """Admissions, preemptions and resumptions in order of time. All arrays are (num_events,)."""

    time: Floats
    request: Ints
    kind: Ints


@dataclass(frozen=True, eq=False)
class TokenLog:
    """One run. Arrays over requests are (n,), in order of (arrival, id); times are seconds from one origin.

    arrival: when the user submitted it. prompt_length, output_length: tokens; the output length is the one
    asked for, which a dropped request did not reach. request_class: index into class_names. client: number,
    −1 unknown. status: of `Status`. reason: why it was dropped or failed, "" otherwise. end: when it finished,
    was dropped or failed; NaN if unfinished.

    A simulated run has `segments` (+ `runs`, `events`); a measured one has `measured` token times. `delivered`
    is there only if tokens reached the user at other times than they were generated; it has as many.
    `window` is the length of the arrival window, seconds. `until`: the run is known to have gone on until then,
    whatever its columns show (None: that is all that is known). `total_blocks` is the KV capacity (0: unknown).
    `meta` says what was run; `counters` how it went (decisions, busy time, …) and is no part of equality.
    """

    arrival: Floats
    prompt_length: Ints
    output_length: Ints
    status: Ints
    end: Floats
    reason: tuple[str, ...]
    request_class: Ints
    class_names: tuple[str, ...]
    client: Ints
    window: float
    segments: Segments | None = None
    runs: StepRuns | None = None
    events: RequestEvents | None = None
    measured: TokenTimes | None = None
    delivered: TokenTimes | None = None
    until: float | None = None
    total_blocks: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_requests(self) -> int:
        """Requests that arrived."""
        return len(self.arrival)

    def num_tokens(self) -> Ints:
        """Tokens that each request received, (n,)."""
        if self.measured is not None:
            return np.diff(self.measured.offsets)
        assert self.segments is not None
        lengths = self.segments.num_steps + self.segments.head_tokens
        return np.bincount(self.segments.request, weights=lengths, minlength=self.num_requests).astype(np.int64)

    def generated_times(self, first: int = 0, last: int | None = None) -> TokenTimes:
        """When the server produced each token of requests first … last − 1."""
        last = self.num_requests if last is None else last
        if self.measured is not None:
            return _slice(self.measured, first, last)
        assert self.segments is not None
        assert self.runs is not None
        return _times_of_segments(self.segments, self.runs, first, last)

    def token_times(self, first: int = 0, last: int | None = None) -> TokenTimes:
        """When each token of requests first … last − 1 reached its user: what metrics look at."""
        if self.delivered is None:
            return self.generated_times(first, last)
        return _slice(self.delivered, first, self.num_requests if last is None else last)

    def chunks(self, max_tokens: int = 250_000) -> Iterator[tuple[int, int]]:
        """Consecutive ranges of requests [first, last) of about `max_tokens` tokens each.

        That bounds the memory, and so few stay in the processor's cache.
        """
        total = np.cumsum(self.num_tokens())
        first = 0
        while first < self.num_requests:
            before = int(total[first - 1]) if first else 0
            last = int(np.searchsorted(total, before + max_tokens, side="right"))
            last = max(last, first + 1)
            yield first, last
            first = last

    def waiting_over_time(self) -> tuple[Floats, Ints]:
        """Step function of the number of requests waiting: times (seconds, sorted) and the count from then on.

        Raises ValueError for a measured run, which does not say when a request left the queue.
        """
        if self.events is None:
            raise ValueError("a measured run does not record when requests leave the queue")
        enters = self.events.kind != EventKind.ADMIT
        enters &= self.events.kind != EventKind.RESUME
        in_queue = np.zeros(self.num_requests, dtype=np.int64)  # net entries by events, to find who left waiting
        np.add.at(in_queue, self.events.request, np.where(enters, 1, -1))
        rejected = self.status == Status.FAILED
        rejected[self.events.request] = False
        in_queue[~rejected] += 1
        left_waiting = (in_queue > 0) & np.isfinite(self.end) & ~rejected
        times = np.concatenate([self.arrival[~rejected], self.events.time, self.end[left_waiting]])
        change = np.ones(len(times), dtype=np.int8)
        events = slice(int((~rejected).sum()), len(times) - int(left_waiting.sum()))
        change[events][~enters] = -1
        change[events.stop :] = -1
        order = np.argsort(times, kind="stable")
        return times[order], np.cumsum(change[order], dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        """Whether all columns and `meta` are equal, bit for bit, a NaN being equal to a NaN."""
        if not isinstance(other, TokenLog):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.name != "counters")

    __hash__ = None  # type: ignore[assignment]


def _boundary(start: Floats, j: Floats, step_time: Floats, step_growth: Floats) -> Floats:
    """The expression by which the engine computes its boundaries, operation for operation."""
    return start + (j * step_time + step_growth * (j * (j - 1.0) * 0.5))


def _slice(ragged: TokenTimes, first: int, last: int) -> TokenTimes:
    offsets = ragged.offsets[first : last + 1]
    return TokenTimes(ragged.times[offsets[0] : offsets[-1]], offsets - offsets[0])


def _times_of_segments(segments: Segments, runs: StepRuns, first: int, last: int) -> TokenTimes:
    lo, hi = np.searchsorted(segments.request, [first, last])
    request = segments.request[lo:hi] - first
    first_step, num_steps = segments.first_step[lo:hi], segments.num_steps[lo:hi]
    head, head_tokens = segments.head[lo:hi], segments.head_tokens[lo:hi]
    lengths = num_steps + head_tokens
    starts = np.concatenate(([0], np.cumsum(lengths)))
    stepping = num_steps > 0
    base = int(first_step[stepping].min()) if stepping.any() else 0
    top = int((first_step + num_steps)[stepping].max()) if stepping.any() else 0
    ends = runs.decode_step_ends(base, top) if top > base else np.zeros(1)
    first_at = starts[:-1] + head_tokens
    at = np.arange(starts[-1])
    in_head = at < np.repeat(first_at, lengths)
    index = at + np.repeat(first_step - first_at - base, lengths)
    index[in_head] = 0
    times = ends[index]
    times[in_head] = np.repeat(head, head_tokens)
    counts = np.bincount(request, weights=lengths, minlength=last - first).astype(np.int64)
    return TokenTimes(times, np.concatenate(([0], np.cumsum(counts))))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, TokenTimes) and isinstance(b, TokenTimes):
        return _same(a.times, b.times) and _same(a.offsets, b.offsets)
    if isinstance(a, Segments | StepRuns | RequestEvents) and type(a) is type(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, float) and isinstance(b, float) and isnan(a):
        return isnan(b)
    return bool(a == b)
