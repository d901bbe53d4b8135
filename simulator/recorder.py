"""Collects what a replica does, a few numbers per decision, and makes the token log of it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.rows import Rows
from simulator.token_log import RequestEvents, Segments, Status, StepRuns, TokenLog
from simulator.workload.workload import Workload


class Recorder:
    """Collects rows as things happen: 48 bytes a run of steps, 28 a segment, 16 an event.

    runs, segments, events: appended to, a tuple a row, by whoever makes them happen; columns as in `StepRuns`,
    `Segments` and `RequestEvents`. A segment is added when it has ended. What comes and goes is also counted into
    the integral of the number in the system, in place: a call for that is 1 % of a run.
    """

    __slots__ = (
        "_integrated_to",
        "arrival",
        "end",
        "events",
        "num_arrived",
        "num_ended",
        "number_in_system_integral",
        "reasons",
        "runs",
        "segments",
        "status",
    )

    def __init__(self, num_requests: int) -> None:
        self.runs = Rows("diddiiiii")
        self.segments = Rows("idqii")
        self.events = Rows("dii")
        self.arrival = array("d", bytes(8 * num_requests))
        self.end = array("d", [float("nan")]) * num_requests
        self.status = bytearray(num_requests)
        self.reasons: dict[int, str] = {}
        self.num_arrived = 0
        self.num_ended = 0
        self.number_in_system_integral = 0.0
        """Requests × seconds so far, counted as they come and go."""
        self._integrated_to = 0.0

    def arrive(self, request_id: int, time: float) -> None:
        """`request_id` came in."""
        self.number_in_system_integral += (self.num_arrived - self.num_ended) * (time - self._integrated_to)
        self._integrated_to = time
        self.arrival[request_id] = time
        self.num_arrived += 1

    def leave(self, request_id: int, time: float, status: Status, reason: str = "") -> None:
        """`request_id` finished, was dropped or failed."""
        self.number_in_system_integral += (self.num_arrived - self.num_ended) * (time - self._integrated_to)
        self._integrated_to = time
        self.end[request_id] = time
        self.status[request_id] = status
        self.num_ended += 1
        if reason:
            self.reasons[request_id] = reason

    def close(self, time: float) -> None:
        """Nothing more happens; who is in the system stays until `time`."""
        self.number_in_system_integral += (self.num_arrived - self.num_ended) * (time - self._integrated_to)
        self._integrated_to = time

    def has_ended(self, request_id: int) -> bool:
        """Whether `request_id` has left."""
        return self.status[request_id] != Status.UNFINISHED

    def log(
        self,
        workload: Workload,
        total_blocks: int,
        meta: Mapping[str, Any],
        counters: Mapping[str, float],
    ) -> TokenLog:
        """The token log of the requests that arrived; nothing may be recorded after it, for not all is copied."""
        n = self.num_arrived
        arrival = np.frombuffer(self.arrival)[:n]
        request, head, first_step, *counts = self.segments.columns()
        order = np.lexsort((first_step, request))
        return TokenLog(
            arrival=arrival,
            prompt_length=workload.prompt_length[:n],
            output_length=workload.output_length[:n],
            status=np.frombuffer(self.status, dtype=np.uint8)[:n].astype(np.int64),
            end=np.frombuffer(self.end)[:n],
            reason=tuple(self.reasons.get(i, "") for i in range(n)) if self.reasons else ("",) * n,
            request_class=workload.request_class[:n],
            class_names=workload.class_names,
            client=workload.client[:n],
            window=float(arrival[-1] - arrival[0]) if n else 0.0,
            segments=Segments(*(column[order] for column in (request, head, first_step, *counts))),
            runs=StepRuns(*self.runs.columns()),
            events=RequestEvents(*self.events.columns()),
            total_blocks=total_blocks,
            meta=meta,
            counters=counters,
        )
