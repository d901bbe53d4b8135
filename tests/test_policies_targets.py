"""What policies take a user to count on: the promise, else the expectation, else a default."""

from __future__ import annotations

from math import nan

import pytest

from policies.targets import MeanLength, expected_output_length, reading_speed, tpot_target, ttft_target
from simulator.metrics import SLO
from tests.policy_views import decoding, request


@pytest.mark.parametrize(
    ("slo", "expected_ttft", "target"),
    [
        (SLO(ttft=2.0), 3.0, 2.0),
        (SLO(ttft=0.0), 3.0, 0.0),
        (SLO(tbt=2.0), 3.0, 3.0),
        (None, 3.0, 3.0),
        (SLO(tbt=2.0), nan, 9.0),
        (None, nan, 9.0),
    ],
)
def test_a_promised_first_token_comes_before_an_expected_one(
    slo: SLO | None, expected_ttft: float, target: float
) -> None:
    assert ttft_target(request(0, 8, slo=slo, expected_ttft=expected_ttft), 9.0) == target


@pytest.mark.parametrize(
    ("slo", "speed", "target"),
    [
        (SLO(tpot=0.25, tbt=0.5, speed=8.0), 4.0, 0.25),
        (SLO(tbt=0.5, speed=8.0), 4.0, 0.5),
        (SLO(ttft=1.0), 4.0, 0.25),
        (None, 4.0, 0.25),
        (SLO(speed=8.0), 4.0, 0.25),
        (SLO(speed=8.0), nan, 0.125),
        (SLO(ttft=1.0), nan, 9.0),
        (None, nan, 9.0),
    ],
)
def test_a_token_is_due_by_the_promise_and_else_as_fast_as_the_user_reads(
    slo: SLO | None, speed: float, target: float
) -> None:
    assert tpot_target(request(0, 8, slo=slo, speed=speed), 9.0) == target


@pytest.mark.parametrize(
    ("slo", "speed", "taken"),
    [
        (SLO(speed=8.0), 4.0, 4.0),
        (None, 4.0, 4.0),
        (SLO(speed=8.0), nan, 8.0),
        (SLO(ttft=1.0), nan, 9.0),
        (None, nan, 9.0),
    ],
)
def test_users_read_at_their_own_speed_and_else_at_the_promised_one(
    slo: SLO | None, speed: float, taken: float
) -> None:
    assert reading_speed(request(0, 8, slo=slo, speed=speed), 9.0) == taken


@pytest.mark.parametrize(("generated", "length"), [(1, 6.0), (5, 6.0), (6, 7.0), (9, 10.0)])
def test_an_answer_goes_on_for_a_token_at_least(generated: int, length: float) -> None:
    assert expected_output_length(decoding(0, 8, generated, 1.0), mean=6.0) == length
    assert expected_output_length(decoding(0, 8, generated, 1.0, predicted_output_length=6.0), mean=99.0) == length


def test_the_mean_length_is_that_of_the_answers_so_far() -> None:
    mean = MeanLength(200.0)
    assert mean.value == 200.0
    for generated in (4, 8, 18):
        mean.add(decoding(0, 8, generated, 1.0))
    assert mean.value == 10.0
