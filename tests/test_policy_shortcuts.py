"""What policies skip for speed, against what they would have done."""

from __future__ import annotations

import copy
import pickle
from bisect import bisect_right
from collections.abc import Callable
from math import log1p

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import PrivateAttr

from policies import make_policy
from policies.admission_program import Candidate, Counts, admit, all_in_time
from policies.batch_size import can_prefill, prefill_tokens_within
from policies.edf import Edf
from simulator.latency import Batch
from tests.policy_views import view_of
from tests.support import a100_like

candidates = st.builds(
    Candidate,
    id=st.just(0),
    deadline=st.integers(-1, 12).map(float),
    tokens=st.integers(1, 40),
    blocks=st.integers(0, 9),
    tier=st.integers(0, 1),
    committed=st.booleans(),
    profit=st.sampled_from([1.0, 2.0]),
)


def ten_less_the_decodes(counts: Counts) -> float:
    return 10.0 - 1.0 * counts[0] - 0.25 * counts[1]


@settings(max_examples=1000)
@given(st.lists(candidates, max_size=5), st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(0, 30))
def test_all_are_in_time_only_if_the_program_accepts_all(drawn: list[Candidate], counts: Counts, blocks: int) -> None:
    asked = [c._replace(id=i) for i, c in enumerate(drawn)]
    if all_in_time(asked, counts, blocks, lambda counts, rate: ten_less_the_decodes(counts) >= rate):
        assert set(admit(asked, counts, blocks, ten_less_the_decodes)) == set(range(len(asked)))


def test_all_are_in_time_if_the_rate_that_each_deadline_needs_is_there_and_the_blocks_just_suffice() -> None:
    # 4 tokens by 1 s and 8 more by 4 s: 4 a second, in whatever order they are asked for
    asked = [Candidate(0, 4.0, 8, 2, 1), Candidate(1, 1.0, 4, 3, 0)]
    for order in (asked, asked[::-1]):
        enough = [all_in_time(order, (0, 0), 5, lambda counts, rate: rate < most) for most in (3.99, 4.01)]  # noqa: B023
        assert enough == [False, True]
    assert not all_in_time(asked, (0, 0), 4, lambda counts, rate: True)


@pytest.mark.parametrize(("tokens", "deadline"), [(1, 3.0), (7, 0.1), (40, 11.0)])
def test_the_rate_is_asked_for_no_less_than_the_deadline_needs(tokens: int, deadline: float) -> None:
    asked: list[float] = []

    def sustains(counts: Counts, rate: float) -> bool:
        asked.append(rate)
        return True

    assert all_in_time([Candidate(0, deadline, tokens, 1, 0)], (0, 0), 9, sustains)
    assert all(tokens / deadline < rate < tokens / deadline * (1 + 1e-6) for rate in asked)


MODELS: list[Callable[[Batch], float]] = [
    a100_like().step_time,
    lambda batch: 2.0,
    lambda batch: (batch.prefill_tokens + batch.num_decodes) / 1024,
    lambda batch: 0.01 + 0.2 * (batch.prefill_tokens > 500),
    lambda batch: 0.01 * 1.01 ** min(batch.prefill_tokens, 5000),
    a100_like(q1=1e-3).step_time,
]


@settings(max_examples=300)
@given(
    st.sampled_from(MODELS),
    st.floats(-1, 10) | st.integers(0, 8192),
    st.integers(0, 300) | st.just(8192),
    st.integers(0, 9000),
)
def test_tokens_within_a_time_are_what_bisection_finds(
    model: Callable[[Batch], float], time: float, num_decodes: int, wanted: int
) -> None:
    view = view_of(now=0.0, step_time=model)

    def duration(tokens: int) -> float:
        pairs = tokens * (tokens + 1) // 2
        return model(Batch(tokens, 0, pairs, num_decodes, 10_000, num_decodes + (tokens > 0)))

    if isinstance(time, int):  # just what so many tokens take
        time = duration(time)
    most = bisect_right(range(1, 8192 - num_decodes + 1), time, key=duration)
    assert prefill_tokens_within(view, time, num_decodes, 10_000) == (most, duration(most))
    assert can_prefill(view, wanted, time, num_decodes, 10_000) == (most >= wanted)


class Remembers(Edf):
    """Adds to what edf remembers, and gives some of it another start."""

    name = "remembers"

    _more: int = PrivateAttr(default=3)
    _later: int = PrivateAttr()
    _longest: int = PrivateAttr(default=5)


def test_a_copy_remembers_for_itself() -> None:
    policy = make_policy("edf")
    policy._longest = 7  # type: ignore[attr-defined]
    for twin in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy), policy.model_copy()):
        assert twin._longest == 7
        twin._longest = 8
    assert policy._longest == 7  # type: ignore[attr-defined]
    assert make_policy("edf")._longest == 0  # type: ignore[attr-defined]


def test_subclasses_add_to_it_and_what_is_not_there_is_an_attribute_error() -> None:
    policy = Remembers.model_validate({})
    assert (policy._more, policy._longest) == (3, 5)
    with pytest.raises(AttributeError, match="no attribute '_later'"):
        policy._later  # noqa: B018
    policy._later = 4
    assert policy._later == 4


def test_a_batch_exactly_as_long_as_the_time_fits() -> None:
    view = view_of(now=0.0, step_time=MODELS[2], max_num_batched_tokens=512)
    assert prefill_tokens_within(view, 0.5, 0, 0) == (512, 0.5)
    assert can_prefill(view, 512, 0.5, 0, 0)
    assert not can_prefill(view, 513, 9.0, 0, 0)


def test_a_batch_full_of_decodes_has_no_room_for_a_token() -> None:
    view = view_of(now=0.0, step_time=MODELS[2], max_num_batched_tokens=4, max_num_seqs=4)
    assert [can_prefill(view, tokens, 9.0, 4, 0) for tokens in (0, 1)] == [True, False]


def test_one_token_of_a_prompt_is_one_more_request() -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return 1.0

    assert can_prefill(view_of(now=0.0, step_time=remembered), 1, 1.0, 3, 100)
    assert asked == [Batch(1, 0, 1, 3, 100, 4)]


@pytest.mark.parametrize("time", [0.03, 0.1, 0.2, 0.4])
def test_the_search_takes_a_third_of_the_looks_of_a_bisection(time: float) -> None:
    asked: list[Batch] = []

    def remembered(batch: Batch) -> float:
        asked.append(batch)
        return MODELS[0](batch)

    tokens, _ = prefill_tokens_within(view_of(now=0.0, step_time=remembered), time, 20, 10_000)
    assert 0 < tokens < 8172
    assert len(asked) <= 2 + 13 / 2  # both ends, then at most half of log2 of 8172


SHAPES: dict[str, Callable[[int], float]] = {
    "a ridge": lambda tokens: 0.01 + 1e-6 * tokens + 1e-3 * max(0, tokens - 4000),
    "a jump": lambda tokens: 0.01 + 1e-6 * tokens + (tokens > 500),
    "ever steeper": lambda tokens: 0.01 * 1.001**tokens,
    "ever flatter": lambda tokens: log1p(tokens),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_search_takes_few_looks_more_than_a_bisection_whatever_the_shape(shape: str) -> None:
    for most in range(7, 8192, 97):
        asked: list[int] = []

        def remembered(batch: Batch) -> float:
            asked.append(batch.prefill_tokens)  # noqa: B023
            return SHAPES[shape](batch.prefill_tokens)

        time = SHAPES[shape](most)
        assert prefill_tokens_within(view_of(now=0.0, step_time=remembered), time, 0, 0) == (most, time)
        assert len(asked) <= 2 + 13 + 4
