"""Tempo's deadline tokens and TokenFlow's effective tokens."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.metrics import SLO, per_request, summary_values
from simulator.metrics.deadline_tokens import deadline_class_tokens, latency_class_tokens
from simulator.metrics.deadlines import stall_free_start
from simulator.metrics.effective_tokens import effective_tokens
from tests import hand_logs, slow_metrics
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED, log_of, row, rows

times = st.integers(0, 640).map(lambda i: i / 64)
answers = st.lists(times, max_size=12).map(sorted)


def timely(tokens, arrival=0.0, ttft=1.0, tbt=0.5):
    return float(latency_class_tokens(hand_logs.ragged([tokens]), np.array([arrival]), ttft, tbt)[0])


def effective(tokens, speed=1.0, output_length=0):
    elapsed, speeds = hand_logs.ragged([tokens]), np.array([speed])
    lengths = np.array([output_length])
    return float(effective_tokens(elapsed, stall_free_start(elapsed, speeds), speeds, lengths)[0])


def test_a_token_counts_for_the_latency_class_by_its_own_deadline():
    assert timely([11.5, 12.0, 12.75, 13.0], arrival=10.0) == 3.0  # due at 11.5, 12, 12.5 and 13 s
    assert timely([np.nextafter(11.5, 12)], arrival=10.0) == 0.0
    assert timely([]) == 0.0


@given(rows())
def test_deadline_tokens_equal_a_count_token_by_token(requests):
    frame = per_request(log_of(requests), SLO(ttft=20.0, tbt=5.0, e2e=60.0))
    slow = [sum(t <= s + 20 + 5 * i for i, t in enumerate(tokens, 1)) for s, tokens, _, _ in requests]
    assert frame["latency_class_tokens"].tolist() == slow
    slow = [
        len(tokens) if status == FINISHED and tokens and tokens[-1] <= s + 60 else 0
        for s, tokens, status, _ in requests
    ]
    assert frame["deadline_class_tokens"].tolist() == slow


@given(st.data(), answers.filter(bool))
def test_an_earlier_token_never_loses_a_deadline(data, tokens):
    i = data.draw(st.integers(0, len(tokens) - 1))
    earlier = [*tokens[:i], data.draw(st.floats(tokens[i - 1] if i else 0.0, tokens[i])), *tokens[i + 1 :]]
    assert timely(earlier) >= timely(tokens)


@pytest.mark.parametrize("status", [DROPPED, FAILED, UNFINISHED])
def test_the_deadline_class_counts_answers_that_finished_in_time_and_wholly(status):
    tokens = hand_logs.ragged([[11.0, 15.0], [11.0, np.nextafter(15.0, 16)], [], [11.0]])
    ended = np.array([FINISHED, FINISHED, FINISHED, status])
    assert deadline_class_tokens(tokens, np.full(4, 10.0), ended, 5.0).tolist() == [2.0, 0.0, 0.0, 0.0]


def test_without_its_bounds_a_class_has_no_tokens_to_count():
    log = log_of([row(0.0, [1.0, 2.0])])
    latency, deadline = "latency_class_tokens_per_s", "deadline_class_tokens_per_s"
    for slo, known in ((None, set()), (SLO(ttft=1), set()), (SLO(ttft=2, tbt=2), {latency}), (SLO(e2e=2), {deadline})):
        values = summary_values(log, slo)
        assert {name for name in (latency, deadline) if not np.isnan(values[name])} == known
        assert {name for name in (latency, deadline) if values[name] == 1.0} == known


def test_a_token_counts_in_full_below_a_tenth_unread_and_not_at_all_from_a_fifth_on():
    assert effective([0.0] * 100) == pytest.approx(11 + sum(range(1, 10)) / 10)  # 0 … 10 unread, then 11 … 19
    assert effective([float(i) for i in range(100)]) == 100.0
    assert effective([0.0] * 4, output_length=40) == 4.0
    assert effective([]) == 0.0


def test_what_is_being_read_is_unread_by_what_is_left_of_it():
    assert effective([0.0, 0.25], output_length=5) == pytest.approx(1 + Fraction(1, 2))  # 3/4 of 5 is 15 %


@given(answers, st.sampled_from([0.25, 1.0, 4.0, 16.0]), st.integers(0, 40))
def test_effective_tokens_equal_what_a_reader_has_still_to_read(tokens, speed, output_length):
    slow = slow_metrics.effective_tokens(slow_metrics.fractions(tokens), Fraction(speed), output_length)
    assert effective(tokens, speed, output_length) == pytest.approx(float(slow), rel=1e-12, abs=1e-12)


def test_sending_faster_lowers_effective_tokens_though_nobody_reads_later():
    paced, at_once = [i / 4 for i in range(40)], [0.0] * 40
    assert effective(at_once, speed=4.0) < 10 < effective(paced, speed=4.0) == 40.0
