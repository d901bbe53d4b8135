import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import linregress

from simulator.metrics import replica
from simulator.metrics.periods import arrival_rate, last_event, span
from simulator.token_log import EventKind, StepRuns
from tests.hand_logs import DROPPED, FINISHED, UNFINISHED, events_of, log_of, queue_log, row, ticks

ADMIT, PREEMPT, SWAP, RESUME = EventKind


def runs_of(*runs):
    """Runs given as (start, steps, step time, blocks in the first, in the last iteration)."""
    start, steps, time, blocks, blocks_end = (np.array(column) for column in zip(*runs, strict=True))
    zero = np.zeros(len(runs), dtype=np.int64)
    return StepRuns(start, steps, time, zero * 0.0, zero, zero + 1, zero, blocks, blocks_end)


def fifo(arrival, service):
    """Who comes first is served first, by one server."""
    end, ends, admits = 0.0, [], []
    for a in arrival:
        admits.append(max(a, end))
        end = admits[-1] + service
        ends.append(end)
    return queue_log(arrival, admits, ends)


def test_utilisation_is_busy_time_over_the_span():
    runs = runs_of((1.0, 2, 0.5, 3, 4), (4.0, 4, 0.25, 7, 5))
    log = log_of([row(1.0, [2.0]), row(4.0, [5.0])], runs=runs, total_blocks=10)
    assert (span(log), last_event(log)) == (4.0, 5.0)
    assert replica.utilisation(log) == 0.5
    assert replica.peak_kv(log) == 0.7
    assert math.isnan(replica.peak_kv(replace(log, total_blocks=0)))


def test_what_was_held_until_the_moment_that_the_span_begins_is_none_of_it():
    runs = runs_of((0.0, 2, 1.0, 9, 9), (2.0, 1, 1.0, 3, 4))
    log = log_of([row(2.0, [3.0])], runs=runs, total_blocks=10)
    assert replica.peak_kv(log) == 0.4
    assert replica.utilisation(log) == 1.0


def test_mean_queue_counts_the_wait_for_admission_and_after_preemption():
    log = log_of(
        [row(0.0, [8.0]), row(1.0, [10.0]), row(2.0, [], DROPPED, 6.0)],
        events=events_of([(1.0, 0, ADMIT), (2.0, 1, ADMIT), (3.0, 1, PREEMPT), (5.0, 1, RESUME)]),
    )
    waits = [1.0, 1.0 + 2.0, 4.0]
    assert replica.mean_queue(log) == sum(waits) / 10
    assert replica.preemptions(log).tolist() == [0, 1, 0]
    assert replica.scheduling_delay(log).tolist() == [1.0, 1.0, pytest.approx(math.nan, nan_ok=True)]


def test_an_unfinished_request_waits_until_the_last_event():
    log = log_of([row(0.0, [8.0]), row(4.0, [], UNFINISHED)], events=events_of([(0.0, 0, ADMIT)]))
    assert replica.mean_queue(log) == 4.0 / 8.0


@given(st.lists(st.tuples(ticks, ticks, ticks), min_size=1, max_size=10))
def test_mean_queue_times_the_span_is_the_sum_of_the_waits(rows):
    rows.sort()
    arrival = [a for a, _, _ in rows]
    admit = [a + wait for a, wait, _ in rows]
    log = queue_log(arrival, admit, [t + service for t, (_, _, service) in zip(admit, rows, strict=True)])
    total = sum(wait for _, wait, _ in rows)
    if span(log) > 0:
        assert replica.mean_queue(log) * span(log) == pytest.approx(total, rel=1e-12, abs=1e-9)


def test_a_measured_run_knows_nothing_of_its_replica():
    log = log_of([row(0.0, [1.0], FINISHED)])
    figures = [replica.utilisation(log), replica.mean_queue(log), replica.peak_kv(log)]
    assert np.isnan(figures).all()
    assert np.isnan(replica.preemptions(log)).all()
    assert np.isnan(replica.scheduling_delay(log)).all()
    assert replica.is_unstable(log) is None


def test_overload_is_unstable_and_light_load_is_not():
    assert replica.is_unstable(fifo([i / 2 for i in range(400)], service=1.0)) is True
    assert replica.is_unstable(fifo([i * 2.0 for i in range(400)], service=1.0)) is False


@pytest.mark.parametrize(
    ("load", "least", "most"), [(0.5, 0.0, 0.0), (0.8, 0.0, 0.01), (0.95, 0.0, 0.05), (1.3, 0.99, 1.0)]
)
def test_false_alarms_are_rare_and_overload_is_seen(load, least, most):
    rng = np.random.default_rng(0)
    queues = [fifo(np.cumsum(rng.exponential(1 / load, 400)).tolist(), service=1.0) for _ in range(100)]
    assert least <= np.mean([replica.is_unstable(queue) for queue in queues]) <= most


def test_a_backlog_that_grows_but_drains_fast_is_not_unstable():
    arrival = [i / 8 for i in range(400)]
    log = queue_log(arrival, [50.0] * 400, [51.0] * 400)
    assert replica.is_unstable(log) is False


def test_a_burst_that_is_being_worked_off_is_not_unstable_though_it_drains_late():
    arrival = [0.0] * 300 + [i / 2 for i in range(400)]
    log = fifo(arrival, service=0.45)
    assert last_event(log) - 199.5 > 0.1 * log.window
    assert replica.is_unstable(log) is False


def test_a_backlog_is_judged_by_the_runs_own_length():
    assert replica.is_unstable(fifo([i / 1024 for i in range(400)], service=1 / 512)) is True


def test_a_backlog_that_was_gone_before_the_last_request_came_is_not_unstable():
    assert replica.is_unstable(fifo([*(i / 2 for i in range(400)), 1000.0], service=1.0)) is False


def test_no_requests_and_one_are_no_trend():
    assert replica.is_unstable(log_of([], events=events_of([]))) is False
    assert replica.is_unstable(queue_log([1.0], [1.0], [2.0])) is False
    assert math.isnan(replica.mean_queue(log_of([], events=events_of([]))))


def test_arrival_rate_is_gaps_over_their_sum():
    assert arrival_rate(log_of([row(1.0, []), row(1.5, []), row(3.0, [])])) == 1.0
    assert arrival_rate(log_of([row(1.0, []), row(1.25, [])])) == 4.0
    assert math.isnan(arrival_rate(log_of([row(1.0, [])])))
    assert math.isnan(arrival_rate(log_of([])))


def test_the_span_of_a_log_runs_to_its_last_event_of_any_kind():
    assert span(log_of([row(1.0, [2.0]), row(4.0, [], UNFINISHED)])) == 3.0
    assert span(log_of([row(1.0, [2.0], DROPPED, 9.0)])) == 8.0
    assert math.isnan(span(log_of([])))
    assert math.isnan(last_event(log_of([])))
    for runs in (runs_of((1.0, 2, 3.0, 3, 4)), runs_of((1.0, 1, 0.5, 3, 4), (2.0, 2, 2.5, 3, 4))):
        assert span(log_of([row(1.0, [2.0])], runs=runs)) == 6.0


@given(st.lists(st.integers(0, 20), min_size=3, max_size=9))
def test_a_trend_is_up_where_scipys_one_sided_test_says_so(y):
    fit = linregress(range(len(y)), y, alternative="greater")
    assume(abs(fit.pvalue - 0.05) > 1e-9 and len(set(y)) > 1)
    assert replica._slope_is_positive(np.array(y, dtype=float)) is bool(fit.pvalue < 0.05)


def test_a_replica_that_served_nobody_held_nothing():
    runs = runs_of((1.0, 1, 0.5, 3, 4), (2.0, 1, 0.5, 3, 4))
    assert replica.peak_kv(replace(log_of([]), runs=runs, total_blocks=10)) == 0.0
