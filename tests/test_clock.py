"""Events at exactly their times, on SimPy's queue."""

from __future__ import annotations

from collections.abc import Generator
from math import inf

import pytest

from simulator.clock import NORMAL, URGENT, Clock, Event


def test_events_come_at_their_times_the_urgent_first_then_in_the_order_of_scheduling() -> None:
    clock, seen = Clock(), []
    for name, time, priority in [("a", 0.3, NORMAL), ("b", 0.1, NORMAL), ("c", 0.3, URGENT), ("d", 0.3, NORMAL)]:
        clock.at(time, priority).callbacks.append(lambda _, name=name: seen.append((name, clock.now)))
    assert clock.next_time() == 0.1
    clock.run()
    assert seen == [("b", 0.1), ("c", 0.3), ("a", 0.3), ("d", 0.3)]
    assert clock.next_time() == inf


def test_a_script_waits_for_one_event_again_and_again() -> None:
    clock, seen = Clock(), []

    def script() -> Generator[Event, None, None]:
        event = clock.unscheduled()
        for time in (0.1, 0.3, 0.3, 0.7):
            yield clock.again(event, time)
            seen.append(clock.now)

    clock.drive(script())
    clock.run()
    assert seen == [0.1, 0.3, 0.3, 0.7]  # and not 0.1 + 0.2


def test_who_waits_is_moved_to_another_time_once() -> None:
    clock, seen = Clock(), []

    def script() -> Generator[Event, None, None]:
        yield waited_for
        seen.append(clock.now)
        yield clock.at(3.0)
        seen.append(clock.now)

    waited_for = clock.at(2.0)
    clock.drive(script())
    clock.at(0.5).callbacks.append(lambda _: clock.move(waited_for, 1.0))
    clock.run()
    assert seen == [1.0, 3.0]


def test_what_a_script_raises_comes_out_of_the_run() -> None:
    def script() -> Generator[Event, None, None]:
        yield clock.at(1.0)
        raise KeyError("mine")

    clock = Clock()
    clock.drive(script())
    with pytest.raises(KeyError, match="mine"):
        clock.run()
    assert clock.now == 1.0


def test_a_process_that_fails_stops_the_run() -> None:
    def process() -> Generator[Event, None, None]:
        yield clock.timeout(1.0)
        raise KeyError("mine")

    clock = Clock()
    clock.process(process())
    with pytest.raises(KeyError, match="mine"):
        clock.run()


def test_it_is_simpys_environment_for_whoever_brings_a_process() -> None:
    clock, seen = Clock(), []

    def process() -> Generator[Event, None, None]:
        yield clock.timeout(1.5)
        seen.append(clock.now)

    clock.process(process())
    clock.at(1.0).callbacks.append(lambda _: seen.append(clock.now))
    clock.run(until=5.0)
    assert seen == [1.0, 1.5]
    assert clock.now == 5.0
