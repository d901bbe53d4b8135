"""The event queue of a run: SimPy's, with events at absolute times."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from math import inf

import simpy
from simpy.core import EmptySchedule
from simpy.events import NORMAL, URGENT, Event, EventCallbacks, EventPriority

__all__ = ["NORMAL", "URGENT", "Clock", "Event"]


class _Due(Event):
    """An event whose outcome is known from the start: nothing but its time has to come."""

    _ok = True
    _value = None

    def __init__(self, env: simpy.Environment, callbacks: EventCallbacks) -> None:
        self.env = env
        self.callbacks = callbacks


class _Time(simpy.Environment):
    """Keeps its time in a slot, which is read at the speed of an attribute; SimPy's `now` is a call each time."""

    __slots__ = ("_now",)
    _now: float


class Clock(_Time):
    """A SimPy environment that can schedule an event at exactly a given time.

    SimPy schedules by delay, and now + (time − now) may differ from `time` by a rounding; boundaries must not.
    Events at equal times: URGENT ones (arrivals, timers) before NORMAL ones (iteration boundaries), then in the
    order of scheduling.
    """

    now = _Time._now
    """Seconds."""

    def step(self) -> None:
        """Let the next event happen, as SimPy does; whether it failed is asked of SimPy's own alone."""
        try:
            self._now, _, _, event = heappop(self._queue)
        except IndexError:
            raise EmptySchedule from None
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if type(event) is not _Due and not event._ok and not hasattr(event, "_defused"):
            raise event._value

    def next_time(self) -> float:
        """When the next event will happen, seconds; inf if none is scheduled."""
        return self._queue[0][0] if self._queue else inf

    def unscheduled(self) -> Event:
        """An event of which nobody has said yet when it happens."""
        return _Due(self, [])

    def at(self, time: float, priority: EventPriority = NORMAL) -> Event:
        """An event that happens at `time` (seconds, not in the past)."""
        event = _Due(self, [])
        heappush(self._queue, (time, priority, next(self._eid), event))
        return event

    def again(self, event: Event, time: float, priority: EventPriority = NORMAL) -> Event:
        """Let `event`, for which nothing is scheduled, happen at `time`, once more if it has: no new one is made."""
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
                event.callbacks = resumes
                return

        resumes: EventCallbacks = [resume]
        self.at(self.now, URGENT).callbacks.append(resume)
