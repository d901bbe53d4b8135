"""Collects what a replica does, a few numbers per decision, and makes the token log of it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.token_log import EventKind, Floats, Ints, RequestEvents, Segments, Status, StepRuns, TokenLog
from simulator.workload.workload import Workload

_RUN_FIELDS = 9


class Recorder:
    """Flat arrays of doubles, appended to: 72 bytes a run of steps, 40 a segment, 24 an event."""

    def __init__(self, num_requests: int) -> None:
        self._runs = array("d")
        self._segments = array("d")
        self._events = array("d")
        self.arrival = array("d", bytes(8 * num_requests))
        self.end = array("d", [float("nan")]) * num_requests
        self.status = bytearray(num_requests)
        self.reasons: dict[int, str] = {}
        self.num_arrived = 0
        self.num_ended = 0

    def arrive(self, request_id: int, time: float) -> None:
        """`request_id` came in."""
        self.arrival[request_id] = time
        self.num_arrived += 1

    def leave(self, request_id: int, time: float, status: Status, reason: str = "") -> None:
        """`request_id` finished, was dropped or failed."""
        self.end[request_id] = time
        self.status[request_id] = status
        self.num_ended += 1
        if reason:
            self.reasons[request_id] = reason

    def has_ended(self, request_id: int) -> bool:
        """Whether `request_id` has left."""
        return self.status[request_id] != Status.UNFINISHED

    def event(self, time: float, request_id: int, kind: EventKind) -> None:
        """`request_id` was admitted, preempted or resumed."""
        self._events.extend((time, request_id, kind))

    def segment(self, request_id: int, head: float, first_step: int, num_steps: int, head_tokens: int) -> None:
        """A stretch of tokens of `request_id` ended; columns as in `Segments`."""
        self._segments.extend((request_id, head, first_step, num_steps, head_tokens))

    def run(self, *columns: float) -> None:
        """A run of iterations ended; columns as in `StepRuns`."""
        self._runs.extend(columns)

    def log(
        self,
        workload: Workload,
        total_blocks: int,
        meta: Mapping[str, Any],
        counters: Mapping[str, float],
    ) -> TokenLog:
        """The token log of the requests that arrived."""
        n = self.num_arrived
        arrival = np.frombuffer(self.arrival)[:n].copy()
        segments = np.frombuffer(self._segments).reshape(-1, 5)
        segments = segments[np.lexsort((segments[:, 2], segments[:, 0]))]
        runs = np.frombuffer(self._runs).reshape(-1, _RUN_FIELDS)
        events = np.frombuffer(self._events).reshape(-1, 3)
        return TokenLog(
            arrival=arrival,
            prompt_length=workload.prompt_length[:n],
            output_length=workload.output_length[:n],
            status=np.frombuffer(self.status, dtype=np.uint8)[:n].astype(np.int64),
            end=np.frombuffer(self.end)[:n].copy(),
            reason=tuple(self.reasons.get(i, "") for i in range(n)) if self.reasons else ("",) * n,
            request_class=workload.request_class[:n],
            class_names=workload.class_names,
            client=workload.client[:n],
            window=float(arrival[-1] - arrival[0]) if n else 0.0,
            segments=Segments(_ints(segments[:, 0]), _floats(segments[:, 1]), *map(_ints, segments[:, 2:].T)),
            runs=StepRuns(
                _floats(runs[:, 0]),
                _ints(runs[:, 1]),
                _floats(runs[:, 2]),
                _floats(runs[:, 3]),
                *map(_ints, runs[:, 4:].T),
            ),
            events=RequestEvents(_floats(events[:, 0]), *map(_ints, events[:, 1:].T)),
            total_blocks=total_blocks,
            meta=meta,
            counters=counters,
        )


def _ints(column: Floats) -> Ints:
    return column.astype(np.int64)


def _floats(column: Floats) -> Floats:
    return np.ascontiguousarray(column)
