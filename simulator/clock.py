"""The event queue of a run: SimPy's, with events at absolute times."""

from __future__ import annotations

from heapq import heappush
from typing import Any

import simpy
from simpy.core import SimTime
from simpy.events import NORMAL, URGENT, Event, EventPriority, Process, ProcessGenerator

__all__ = ["NORMAL", "URGENT", "Clock", "Event"]


class Clock(simpy.Environment):
    """A SimPy environment that can schedule an event at exactly a given time.

    SimPy schedules by delay, and now + (time − now) may differ from `time` by a rounding; boundaries must not.
    Events at equal times: URGENT ones (arrivals, timers) before NORMAL ones (iteration boundaries), then in the
    order of scheduling.
    """

    _failure: BaseException | None = None

    def process(self, generator: ProcessGenerator) -> Process:
        """A process of `generator`; what it raises comes out of `run` as it is (SimPy would make a copy)."""
        return super().process(self._noting_failure(generator))

    def _noting_failure(self, generator: ProcessGenerator) -> ProcessGenerator:
        try:
            return (yield from generator)
        except BaseException as failure:
            self._failure = failure
            raise

    def run(self, until: SimTime | Event | None = None) -> Any:
        """Let all events happen; raises what a process raised."""
        try:
            return super().run(until)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def at(self, time: float, priority: EventPriority = NORMAL) -> Event:
        """An event that happens at `time` (seconds, not in the past)."""
        event = Event(self)
        event._ok = True
        event._value = None
        heappush(self._queue, (time, priority, next(self._eid), event))
        return event

    def move(self, waited_for: Event, time: float) -> Event:
        """Let whoever waits for the pending event `waited_for` wait for a new one at `time` instead."""
        event = self.at(time)
        event.callbacks, waited_for.callbacks = waited_for.callbacks, []
        return event
