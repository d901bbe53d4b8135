import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.metrics import SLO, User, latencies
from simulator.metrics.slo import slo_met
from simulator.metrics.smooth_goodput import benefit, smooth_goodput, user_idle_latency, waits_until
from tests import hand_logs
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED, ticks

LOG_END = 500.0


def idle_of(tokens, user, arrival=0.0, status=FINISHED, end=float("nan")):
    arrival = np.array([arrival])
    until = waits_until(user, arrival, np.array([status]), np.array([end]), LOG_END)
    return float(user_idle_latency(hand_logs.ragged([tokens]), arrival, user.speeds(1), user.origin, until)[0])


def benefit_of(tokens, user, arrival=0.0, status=FINISHED, end=float("nan")):
    idle = np.array([idle_of(tokens, user, arrival, status, end)])
    return float(benefit(idle, np.array([len(tokens)]), user)[0])


def test_a_stall_that_the_reader_does_not_notice_counts_for_tbt_and_not_for_idle_latency():
    tokens = [*np.arange(1, 11) / 10, 2.0]  # the paper's: ten tokens in 1 s, then a stall of 1 s
    assert idle_of(tokens, User(speed=4)) == 0.0
    assert latencies.tbt_max(latencies.gaps(hand_logs.ragged([tokens]))) == 1.0


def test_a_stall_that_the_reader_sits_through_is_hidden_by_tpot():
    tokens = [0.0, 0.0, *[1.0] * 9]  # the paper's: two tokens, a stall of 1 s, nine at once
    assert latencies.tpot(hand_logs.ragged([tokens])) == 0.1
    assert idle_of(tokens, User(speed=4)) == 0.25  # token 3 was due at 0.75 s


def test_holding_tokens_back_meets_a_tbt_bound_and_serves_the_reader_worse():
    served = [*np.arange(1, 11) / 10, 2.0]
    held = [0.75 + i / 8 for i in range(11)]
    assert all(later >= t for t, later in zip(served, held, strict=True))
    slo, user = SLO(tbt=0.25), User(speed=10)
    tokens = hand_logs.ragged([served, held])
    assert slo_met(slo, tokens, np.zeros(2), np.full(2, FINISHED)).tolist() == [False, True]
    assert idle_of(held[:10], user) > idle_of(served[:10], user) == 0.0


def test_idle_latency_is_the_worst_lateness_and_not_the_sum():
    assert idle_of([1.0, 4.0, 4.5], User(speed=2)) == 3.0  # due at 0.5, 1, 1.5 s: late by 0.5, 3, 3
    assert benefit_of([1.0, 4.0, 4.5], User(speed=2, alpha=0.5)) == 3 - 0.5 * 3


def test_origin_first_token_forgives_the_wait_before_it():
    tokens = [100.0, 100.25, 101.0]
    assert idle_of(tokens, User(speed=4, origin="first_token")) == 0.25
    assert idle_of(tokens, User(speed=4)) == 100.25


@pytest.mark.parametrize("origin", ["submission", "first_token"])
@pytest.mark.parametrize(
    ("abandonment", "status", "idle"),
    [
        ("ignore", DROPPED, 0.0),
        ("idle_until_drop", DROPPED, 1.75),
        ("patience", DROPPED, 59.75),
        ("ignore", FAILED, 0.0),
        ("idle_until_drop", FAILED, 1.75),
        ("patience", FAILED, 59.75),
        ("ignore", UNFINISHED, 0.0),
        ("idle_until_drop", UNFINISHED, 489.75),
        ("patience", UNFINISHED, 489.75),
        ("ignore", FINISHED, 0.0),
        ("idle_until_drop", FINISHED, 0.0),
        ("patience", FINISHED, 0.0),
    ],
)
def test_how_long_the_user_of_a_request_without_tokens_waits(abandonment, status, idle, origin):
    user = User(speed=4, abandonment=abandonment, origin=origin)
    assert idle_of([], user, arrival=10.0, status=status, end=12.0) == idle


def test_a_dropped_user_waits_for_the_token_after_those_received():
    user = User(speed=4, alpha=1)
    assert idle_of([0.5, 0.5], user, status=DROPPED, end=1.0) == 60 - 0.75
    assert benefit_of([0.5, 0.5], user, status=DROPPED, end=1.0) == 2 - 59.25
    assert idle_of([70.0], user, status=DROPPED, end=71.0) == 69.75  # lateness already above what is left of P


def test_a_failed_request_whose_end_is_not_known_waits_for_nothing_until_then():
    assert idle_of([], User(abandonment="idle_until_drop"), status=FAILED) == 0.0


def test_f_maps_idle_latency_to_what_is_lost():
    idle, n = np.array([0.0, 1.0, 4.0]), np.array([10, 10, 0])
    assert benefit(idle, n, User(alpha=2.5)).tolist() == [10.0, 7.5, -10.0]
    assert benefit(idle, n, User(alpha=0.5, f="share", l0=2.0)).tolist() == [10.0, 7.5, 0.0]
    assert benefit(idle, n + 8, User(alpha=0.5, f="share", l0=2.0)).tolist() == [18.0, 13.5, 4.0]
    assert benefit(idle, n, User(alpha=1, f=lambda late, n: late**2 + n)).tolist() == [0.0, -1.0, -16.0]


@pytest.mark.parametrize(
    ("f", "complaint"),
    [
        (lambda late, n: late[:1], r"shape \(1,\), not \(2,\)"),
        (lambda late, n: late / 0.0, "inf for an idle latency of 3.0 s"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value|divide by zero")
def test_an_f_that_gives_no_number_is_refused(f, complaint):
    with pytest.raises(ValueError, match=complaint):
        benefit(np.array([3.0, 1.0]), np.array([1, 2]), User(f=f))


@pytest.mark.parametrize(
    "bad",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": float("nan")},
        {"speed": np.array([5.0, 0.0])},
        {"alpha": -1},
        {"patience": -1},
        {"origin": "birth"},
        {"f": "squares"},
        {"f": "share"},
        {"l0": 1.0},
        {"abandonment": "hope"},
        {"age": 7},
    ],
)
def test_a_user_that_cannot_be_is_refused(bad):
    with pytest.raises(ValidationError):
        User(**bad)


def test_reading_speed_may_differ_by_request():
    user = User(speed=np.array([1.0, 4.0]))
    tokens = hand_logs.ragged([[1.0, 2.0], [1.0, 2.0]])
    assert user_idle_latency(tokens, np.zeros(2), user.speeds(2)).tolist() == [0.0, 1.5]
    assert user == User(speed=(1.0, 4.0))
    assert hash(user) == hash(User(speed=(1.0, 4.0)))
    with pytest.raises(ValueError, match="2 reading speeds, the log 3 requests"):
        user.speeds(3)


def test_smooth_goodput_is_the_sum_over_all_requests_per_second():
    assert smooth_goodput(np.array([10.0, -4.0, 0.0]), 2.0) == 3.0
    assert np.isnan(smooth_goodput(np.array([10.0]), 0.0))


users = st.builds(
    User,
    speed=st.sampled_from([1.0, 4.0, 16.0]),
    alpha=st.sampled_from([0.0, 0.5, 2.5]),
    abandonment=st.sampled_from(["patience", "ignore", "idle_until_drop"]),
    f=st.sampled_from(["seconds", lambda late, n: np.sqrt(late), lambda late, n: n * (late > 1)]),
)


@given(st.data(), users)
def test_with_origin_submission_an_earlier_token_never_lowers_the_benefit(data, user):
    tokens = sorted(data.draw(st.lists(ticks, min_size=1, max_size=12)))
    i = data.draw(st.integers(0, len(tokens) - 1))
    earliest = tokens[i - 1] if i else 0.0
    earlier = [*tokens[:i], data.draw(st.floats(earliest, tokens[i])), *tokens[i + 1 :]]
    status = data.draw(st.sampled_from([FINISHED, DROPPED, FAILED, UNFINISHED]))
    end = tokens[-1] + 1
    assert benefit_of(earlier, user, status=status, end=end) >= benefit_of(tokens, user, status=status, end=end)


def test_with_origin_first_token_a_later_first_token_can_raise_the_benefit():
    user = User(speed=1, origin="first_token")
    assert benefit_of([8.0, 10.0], user) == 2.0 > benefit_of([0.0, 10.0], user) == 2 - 2.5 * 8


@given(
    st.data(),
    st.sampled_from([1.0, 4.0, 16.0]),
    st.sampled_from([0.0, 0.5, 2.5]),
    st.sampled_from(["submission", "first_token"]),
)
def test_dropping_a_request_never_beats_finishing_it_within_the_patience(data, speed, alpha, origin):
    user = User(speed=speed, alpha=alpha, origin=origin, patience=60.0)
    tokens = sorted(data.draw(st.lists(st.integers(0, 60 * 64).map(lambda i: i / 64), min_size=1, max_size=12)))
    kept = tokens[: data.draw(st.integers(0, len(tokens) - 1))]
    end = data.draw(ticks)
    assert benefit_of(kept, user, status=DROPPED, end=end) <= benefit_of(tokens, user)


def test_as_printed_and_with_the_wait_until_the_drop_dropping_early_beats_answering_late():
    late = [30.0 + i / 4 for i in range(8)]
    for abandonment in ("ignore", "idle_until_drop"):
        user = User(speed=4, abandonment=abandonment)
        assert benefit_of([], user, status=DROPPED, end=1.0) > benefit_of(late, user)
