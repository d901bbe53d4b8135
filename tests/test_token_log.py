"""The token log against naive rebuilds, step by step and token by token."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.token_log import EventKind, Segments, Status, StepRuns, TokenTimes
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED, events_of, log_of, ragged, row, rows, ticks

ADMIT, PREEMPT, SWAP, RESUME = EventKind
NAN = float("nan")


def ints(values):
    return np.array(values, dtype=np.int64)


def make_runs(runs):
    """Back-to-back runs given as (idle before, steps, step time, growth, decodes)."""
    start, at = [], 0.0
    for idle, steps, time, growth, _ in runs:
        start.append(at + idle)
        at = start[-1] + (steps * time + growth * (steps * (steps - 1) / 2))
    _, steps, time, growth, decodes = zip(*runs, strict=True) if runs else ((),) * 5
    zero = np.zeros(len(runs), dtype=np.int64)
    return StepRuns(
        np.array(start), ints(steps), np.array(time), np.array(growth), zero, ints(decodes), zero, zero, zero
    )


def boundaries(runs):
    """When each decode step ended, one by one."""
    out = []
    for start, steps, time, growth, decodes in zip(
        runs.start, runs.num_steps, runs.step_time, runs.step_growth, runs.num_decodes, strict=True
    ):
        of_run = [start + (j * time + growth * (j * (j - 1) / 2)) for j in range(1, steps + 1)]
        out += of_run if decodes else []
    return out


seconds = st.floats(0.001, 1.0)
run_lists = st.lists(
    st.tuples(st.floats(0, 10), st.integers(1, 7), seconds, st.sampled_from([0.0, 1e-4]), st.integers(0, 2)), max_size=8
)


@st.composite
def simulated(draw):
    """A log with random runs and random segments on them, and the token times of each request."""
    runs = make_runs(draw(run_lists))
    ends = boundaries(runs)
    columns, expected = [], []
    for request in range(draw(st.integers(0, 6))):
        expected.append([])
        at = 0
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(at, len(ends)))
            steps = draw(st.integers(0, len(ends) - at))
            head = draw(st.sampled_from([NAN, 0.5, 7.25]))
            head_tokens = 0 if math.isnan(head) else draw(st.integers(1, 4))
            columns.append((request, head, at, steps, head_tokens))
            expected[-1] += [head] * head_tokens + ends[at : at + steps]
            at += steps
    request, head, *counts = zip(*columns, strict=True) if columns else ((),) * 5
    segments = Segments(ints(request), np.array(head, dtype=np.float64), *map(ints, counts))
    log = log_of([row(0.0, [])] * len(expected), segments=segments, runs=runs, measured=None)
    return log, expected


@given(run_lists, st.data())
def test_decode_step_ends_are_the_boundaries_of_runs_with_decodes(run_list, data):
    runs = make_runs(run_list)
    ends = boundaries(runs)
    assert runs.first_decode_step()[-1] == len(ends)
    first = data.draw(st.integers(0, len(ends)))
    last = data.draw(st.integers(first, len(ends)))
    assert runs.decode_step_ends(first, last).tolist() == ends[first:last]


@settings(max_examples=300)
@given(simulated(), st.data())
def test_token_times_of_any_range_of_requests_are_those_of_their_segments(pair, data):
    log, expected = pair
    n = len(expected)
    first = data.draw(st.integers(0, n))
    last = data.draw(st.integers(first, n))
    times, offsets = log.generated_times(first, last)
    assert times.tolist() == [t for tokens in expected[first:last] for t in tokens]
    assert np.diff(offsets).tolist() == [len(tokens) for tokens in expected[first:last]]
    assert offsets[0] == 0
    assert log.num_tokens().tolist() == [len(tokens) for tokens in expected]
    assert log.token_times().times.tolist() == log.generated_times().times.tolist()


@given(rows(), st.data())
def test_measured_and_delivered_times_are_sliced_as_they_are(requests, data):
    log = log_of(requests)
    first = data.draw(st.integers(0, len(requests)))
    last = data.draw(st.integers(first, len(requests)))
    expected = ragged([tokens for _, tokens, _, _ in requests[first:last]])
    for times, offsets in (log.generated_times(first, last), log.token_times(first, last)):
        assert times.tolist() == expected.times.tolist()
        assert offsets.tolist() == expected.offsets.tolist()
    assert log.num_tokens().tolist() == [len(tokens) for _, tokens, _, _ in requests]
    late = replace(log, delivered=TokenTimes(log.measured.times + 1, log.measured.offsets))
    assert late.token_times(first, last).times.tolist() == (expected.times + 1).tolist()
    assert late.generated_times(first, last).times.tolist() == expected.times.tolist()


@given(rows(), st.integers(1, 40))
def test_chunks_part_the_requests_and_exceed_their_size_only_for_a_single_one(requests, size):
    log = log_of(requests)
    chunks = list(log.chunks(size))
    assert [i for first, last in chunks for i in range(first, last)] == list(range(len(requests)))
    num_tokens = log.num_tokens()
    assert all(last - first == 1 or num_tokens[first:last].sum() <= size for first, last in chunks)


@st.composite
def histories(draw):
    """Requests, each with a wait, then turns of running and waiting; the stretches in which each waits."""
    requests, events, waits = [], [], []
    for i, arrival in enumerate(sorted(draw(st.lists(ticks, max_size=6)))):
        at, waiting_since = arrival, arrival
        for turn in range(draw(st.integers(0, 5))):
            at += draw(ticks)
            if turn % 2 == 0:
                events.append((at, i, RESUME if turn else ADMIT))
                waits.append((waiting_since, at))
            else:
                events.append((at, i, draw(st.sampled_from([PREEMPT, SWAP]))))
                waiting_since = at
        waiting = not any(e[1] == i for e in events) or [e for e in events if e[1] == i][-1][2] in (PREEMPT, SWAP)
        status = draw(st.sampled_from([UNFINISHED, DROPPED] if waiting else [UNFINISHED, DROPPED, FINISHED]))
        end = NAN if status == UNFINISHED else at + draw(ticks)
        if waiting:
            waits.append((waiting_since, math.inf if math.isnan(end) else end))
        requests.append((arrival, [], status, end))
    return log_of(requests, events=events_of(events)), waits


@given(histories(), ticks)
def test_the_number_waiting_is_that_of_the_requests_that_wait(history, moment):
    log, waits = history
    times, counts = log.waiting_over_time()
    assert (np.diff(times) >= 0).all()
    assert (counts >= 0).all()
    for t in (moment, *times):
        before = int(np.searchsorted(times, t, side="right"))
        count = int(counts[before - 1]) if before else 0
        assert count == sum(since <= t < until for since, until in waits)


def test_a_rejected_request_never_waits():
    log = log_of([row(1.0, [], FAILED), row(2.0, [], UNFINISHED)], events=events_of([]))
    times, counts = log.waiting_over_time()
    assert (times.tolist(), counts.tolist()) == ([2.0], [1])


def test_a_measured_run_does_not_know_its_queue():
    with pytest.raises(ValueError, match="does not record when requests leave the queue"):
        log_of([row(0.0, [1.0])]).waiting_over_time()


def test_logs_are_equal_column_by_column_and_nan_equals_nan():
    log = log_of([row(0.0, [1.0]), row(1.0, [], UNFINISHED)], window=NAN)
    assert log == log_of([row(0.0, [1.0]), row(1.0, [], UNFINISHED)], window=float("nan"))
    assert log == replace(log, counters={"num_plans": 3})
    changed = {
        "arrival": np.array([0.0, 1.5]),
        "prompt_length": log.prompt_length + 1,
        "client": log.client.astype(np.int32),
        "status": ints([Status.FINISHED, Status.FAILED]),
        "end": np.array([1.0, 2.0]),
        "reason": ("", "late"),
        "class_names": ("chat",),
        "window": 2.0,
        "measured": ragged([[1.0], [2.0]]),
        "delivered": ragged([[1.0], []]),
        "events": events_of([]),
        "total_blocks": 8,
        "meta": {"seed": 1},
    }
    for name, value in changed.items():
        assert log != replace(log, **{name: value}), name
    assert log != "a log"


@given(simulated())
def test_a_simulated_log_equals_its_copy_and_not_one_with_another_step(pair):
    log, _ = pair
    copy = replace(log, segments=replace(log.segments), runs=replace(log.runs, start=log.runs.start.copy()))
    assert log == copy
    if len(log.runs.start):
        assert log != replace(log, runs=replace(log.runs, num_steps=log.runs.num_steps + 1))


def test_a_log_is_no_key():
    with pytest.raises(TypeError, match="unhashable"):
        hash(log_of([]))
