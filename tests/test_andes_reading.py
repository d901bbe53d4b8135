"""How late readers are, followed through prefills, late tokens and preemptions, worked out by hand."""

from __future__ import annotations

import pytest

from policies.andes.reading import Expectation, Reading
from simulator import DECODE_ALL, StepPlan
from tests.policy_views import request, view_of


def test_the_delay_of_a_first_token_is_noted_when_it_has_come_and_not_before() -> None:
    # expected at 1 + 2 = 3 s, then every half second; two chunks are prefilled, then another's, then comes the token
    reading, asked = Reading(Expectation(speed=2.0, ttft=2.0)), request(0, 40, arrival=1.0)
    reading.arrive(asked)

    def delay() -> float:
        _, readers, _ = reading.standing(view_of(waiting=[asked], now=0.0))  # nothing that runs is looked at
        return float(readers.delay[0])

    reading.follow(StepPlan(prefill={0: 20}))
    reading.follow(StepPlan(prefill={0: 20}))
    reading.follow(StepPlan(prefill={1: 8}))
    assert delay() == 0.0
    asked._generated, asked._last_token_time = 1, 5.0
    reading.follow(DECODE_ALL)
    assert delay() == 5.0 - 3.0
    asked._generated, asked._last_token_time = 3, 9.0  # two steps later it is looked at no more
    reading.follow(DECODE_ALL)
    assert delay() == 2.0


def test_a_preemption_keeps_what_was_early_and_counts_the_newest_token() -> None:
    reading, asked = Reading(Expectation(speed=2.0, ttft=2.0)), request(0, 40, arrival=1.0)
    reading.arrive(asked)
    asked._generated, asked._last_token_time = 4, 6.0  # the fourth was expected at 3 + 3/2
    reading.follow(StepPlan(preempt={0: "recompute"}))
    _, readers, known = reading.standing(view_of(waiting=[asked], now=7.0))
    assert [float(column[0]) for column in (readers.tokens, readers.early_tokens)] == [4.0, 4.0]
    assert float(readers.delay[0]) == 1.5
    assert float(readers.early_delay[0]) == 4 * 1.5
    assert float(readers.due[0]) == 7.0 - 3.0
    assert known[0] == 44
    # two more, the newest expected at 3 + 5/2
    asked._generated, asked._last_token_time = 6, 8.0
    reading.follow(StepPlan(preempt={0: "recompute"}))
    _, readers, _ = reading.standing(view_of(waiting=[asked], now=9.0))
    assert (float(readers.early_tokens[0]), float(readers.delay[0])) == (6.0, 2.5)
    assert float(readers.early_delay[0]) == 4 * 1.5 + 2 * 2.5


@pytest.mark.parametrize(("now", "generated", "delay"), [(9.0, 3, 5.0), (4.0, 3, 0.0), (9.0, 1, 6.0), (9.0, 0, 0.0)])
def test_the_newest_token_of_who_runs_says_how_late_it_is_at_least(now: float, generated: int, delay: float) -> None:
    reading, runs = Reading(Expectation(speed=2.0, ttft=2.0)), request(0, 40, arrival=1.0)
    reading.arrive(runs)
    runs._cached, runs._generated = 39 + generated, generated
    _, readers, _ = reading.standing(view_of([runs], now=now))
    assert float(readers.delay[0]) == delay  # three tokens are read by 3 + 2/2, one by 3
