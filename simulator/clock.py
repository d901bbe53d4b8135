"""The event queue of a run: SimPy's, with events at absolute times."""

from __future__ import annotations

from heapq import heappush

import simpy
from simpy.events import NORMAL, URGENT, Event, EventPriority

__all__ = ["NORMAL", "URGENT", "Clock", "Event"]


class Clock(simpy.Environment):
    """A SimPy environment that can schedule an event at exactly a given time.

    SimPy schedules by delay, and now + (time − now) may differ from `time` by a rounding; boundaries must not.
    Events at equal times: URGENT ones (arrivals, timers) before NORMAL ones (iteration boundaries), then in the
    order of scheduling.
    """

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
