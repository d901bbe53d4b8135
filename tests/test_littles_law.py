"""Every run of the tests obeys Little's law, and the check that says so can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator import Status, TokenLog
from simulator.recorder import Recorder
from tests.support import check_littles_law, workload
from tests.timelines import second_by_second

LOAD = workload([0.0, 0.5, 3.0, 40.0], 4, [5, 2, 9, 3])


def test_a_drained_run_obeys_it() -> None:
    log = second_by_second(LOAD, "fcfs")
    assert log.counters["number_in_system_integral"] == (log.end - log.arrival).sum()
    check_littles_law(log)


@pytest.mark.parametrize("until", [0.5, 4.0, 4.25, 20.0, 41.5])
def test_whoever_is_left_at_the_end_is_in_the_system_until_then(until: float) -> None:
    log = second_by_second(LOAD, "fcfs", until=until)
    check_littles_law(log)
    with pytest.raises(AssertionError):
        check_littles_law(with_integral(log, log.counters["number_in_system_integral"] + 1e-3))


@pytest.mark.parametrize(
    "tampered",
    [
        lambda log: replace(log, end=log.end + np.array([0.0, 0.0, 1e-6, 0.0])),
        lambda log: replace(log, end=log.end - np.array([1e-6, 0.0, 0.0, 0.0])),
        lambda log: replace(log, arrival=log.arrival - np.array([0.0, 1e-6, 0.0, 0.0])),
        lambda log: with_integral(log, log.counters["number_in_system_integral"] * (1 + 1e-7)),
        lambda log: with_integral(log, np.nan),
    ],
)
def test_a_tampered_log_is_caught(tampered: Callable[[TokenLog], TokenLog]) -> None:
    log = second_by_second(LOAD, "fcfs")
    with pytest.raises(AssertionError, match="sojourn times of"):
        check_littles_law(tampered(log))


def test_an_engine_that_forgets_to_integrate_fails_in_any_test(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Recorder.leave

    def forgetful(self: Recorder, *args: Any, **options: Any) -> None:
        self._integrated_to += 1e-6
        leave(self, *args, **options)

    monkeypatch.setattr(Recorder, "leave", forgetful)
    with pytest.raises(AssertionError, match="sojourn times of"):
        second_by_second(LOAD, "fcfs")


@pytest.mark.parametrize("leap", [True, False])
def test_a_replica_whose_last_user_left_during_the_prefill_serves_whoever_comes_next(leap: bool) -> None:
    load = replace(workload([0.0, 5.0], 4, 2), patience=np.array([0.5, np.inf]))
    log = second_by_second(load, "fcfs", leap=leap)
    assert log.status.tolist() == [Status.DROPPED, Status.FINISHED]
    assert log.end.tolist() == [1.0, 7.0]


def test_a_run_that_leaves_somebody_waiting_for_ever_is_caught() -> None:
    log = second_by_second(LOAD, "fcfs")
    with pytest.raises(AssertionError, match="1 requests are left in the system"):
        check_littles_law(replace(log, status=np.where(np.arange(4) == 3, Status.UNFINISHED, log.status)))


def with_integral(log: TokenLog, integral: float) -> TokenLog:
    return replace(log, counters={**log.counters, "number_in_system_integral": integral})
