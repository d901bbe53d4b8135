"""What policies skip for speed, against what they would have done."""

from __future__ import annotations

import copy
import pickle
from bisect import bisect_right
from collections.abc import Callable

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


@settings(max_examples=1000, deadline=None)
@given(st.lists(candidates, max_size=5), st.tuples(st.integers(0, 2), st.integers(0, 4)), st.integers(0, 30))
def test_all_are_in_time_only_if_the_program_accepts_all(drawn: list[Candidate], counts: Counts, blocks: int) -> None:
    asked = [c._replace(id=i) for i, c in enumerate(drawn)]
    if all_in_time(asked, counts, blocks, lambda counts, rate: ten_less_the_decodes(counts) >= rate):
        assert set(admit(asked, counts, blocks, ten_less_the_decodes)) == set(range(len(asked)))


MODELS: list[Callable[[Batch], float]] = [
    a100_like().step_time,
    lambda batch: 2.0,
    lambda batch: (batch.prefill_tokens + batch.num_decodes) / 1024,
    lambda batch: 0.01 + 0.2 * (batch.prefill_tokens > 500),
    lambda batch: 0.01 * 1.01 ** min(batch.prefill_tokens, 5000),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), st.floats(-1, 10), st.integers(0, 300), st.integers(0, 9000))
def test_tokens_within_a_time_are_what_bisection_finds(
    model: Callable[[Batch], float], time: float, num_decodes: int, wanted: int
) -> None:
    view = view_of(now=0.0, step_time=model)

    def duration(tokens: int) -> float:
        pairs = tokens * (tokens + 1) // 2
        return model(Batch(tokens, 0, pairs, num_decodes, 10_000, num_decodes + (tokens > 0)))

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
