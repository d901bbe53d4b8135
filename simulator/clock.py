"""The event queue of a run: SimPy's, with events at absolute times."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappush

import simpy
from simpy.events import NORMAL, URGENT, Event, EventCallbacks, EventPriority

__all__ = ["NORMAL", "URGENT", "Clock", "Event"]


class _Due(Event):
    """An event whose outcome is known from the start: nothing but its time has to come."""

    _ok = True
    _value = None

    def __init__(self, env: simpy.Environment, callbacks: EventCallbacks) -> None:
        self.env = env
        self.callbacks = callbacks


class Clock(simpy.Environment):
    """A SimPy environment that can schedule an event at exactly a given time.

    SimPy schedules by delay, and now + (time − now) may differ from `time` by a rounding; boundaries must not.
    Events at equal times: URGENT ones (arrivals, timers) before NORMAL ones (iteration boundaries), then in the
    order of scheduling.
    """

    def at(self, time: float, priority: EventPriority = NORMAL) -> Event:
        """An event that happens at `time` (seconds, not in the past)."""
        event = _Due(self, [])
        heappush(self._queue, (time, priority, next(self._eid), event))
        return event

    def move(self, waited_for: Event, time: float) -> Event:
        """Let whoever waits for the pending event `waited_for` wait for a new one at `time` instead."""
        event = _Due(self, waited_for.callbacks)
        waited_for.callbacks = []
        heappush(self._queue, (time, NORMAL, next(self._eid), event))
        return event

    def drive(self, script: Generator[Event, None, None]) -> None:
        """Run `script` from now on, each time until the pending event that it yields.

        A SimPy process without what nobody here asks of one (that others wait for it, or interrupt it), at a third
        of the cost; and what the script raises comes out of `run` as it is, where SimPy would raise a copy.
        """

        def resume(_: Event) -> None:
            for event in script:
                event.callbacks.append(resume)
                return

        self.at(self.now, URGENT).callbacks.append(resume)
