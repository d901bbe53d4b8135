"""Whom the dynamic program accepts, against brute force and by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.admission_program import Candidate, Counts, admit

candidates = st.builds(
    Candidate,
    id=st.just(0),
    deadline=st.integers(-1, 12).map(float),
    tokens=st.integers(1, 8) | st.integers(1, 40),
    blocks=st.integers(1, 9),
    tier=st.integers(0, 1),
    committed=st.just(False),
    profit=st.sampled_from([1.0, 1.0, 2.0, 5.0]),
)


def less_the_decodes(most: float, loose: float = 0.25) -> Callable[[Counts], float]:
    """Spare tokens/s: a decode of the tight tier takes 4."""
    return lambda counts: most - 4.0 * counts[0] - loose * counts[1]


ten_less_the_decodes = less_the_decodes(10.0, loose=1.0)


def unneeded(
    chosen: tuple[Candidate, ...], asked: list[Candidate], decoding: Counts, spare_rate: Callable[[Counts], float]
) -> float | None:
    """Tokens that are spare by the last deadline if `chosen` are served; None if they cannot all be in time."""
    spare, now, counts = 0.0, 0.0, decoding
    for c in sorted(asked, key=lambda c: (c.deadline, c.id)):
        spare += max(0.0, c.deadline - now) * max(0.0, spare_rate(counts))
        now = max(now, c.deadline)
        if c in chosen:
            spare -= c.tokens
            counts = (counts[0] + (c.tier == 0), counts[1] + (c.tier == 1))
            if spare < 0 or spare_rate(counts) < 0:
                return None
    return spare


@settings(max_examples=600)
@given(
    st.lists(candidates, min_size=2, max_size=6),
    st.tuples(st.integers(0, 2), st.integers(0, 4)),
    st.integers(0, 30),
    st.sampled_from([0.75, 5.0, 10.0]),
)
def test_the_program_finds_the_most_profitable_set_and_of_those_the_one_with_most_to_spare(
    drawn: list[Candidate], counts: Counts, blocks: int, most: float
) -> None:
    asked, spare_rate = [c._replace(id=i) for i, c in enumerate(drawn)], less_the_decodes(most)

    def worth(chosen: tuple[Candidate, ...]) -> tuple[float, float, int] | None:
        spare, taken = unneeded(chosen, asked, counts, spare_rate), sum(c.blocks for c in chosen)
        return None if spare is None or taken > blocks else (sum(c.profit for c in chosen), spare, -taken)

    subsets = chain.from_iterable(combinations(asked, n) for n in range(len(asked) + 1))
    best = max(found for chosen in subsets if (found := worth(chosen)) is not None)
    assert worth(tuple(asked[i] for i in admit(asked, counts, blocks, spare_rate))) == best


@settings(max_examples=300)
@given(st.lists(candidates, max_size=6), st.sets(st.integers(0, 5)), st.integers(0, 30))
def test_who_has_begun_is_not_rejected(drawn: list[Candidate], begun: set[int], blocks: int) -> None:
    asked = [c._replace(id=i, committed=i in begun) for i, c in enumerate(drawn)]
    accepted = admit(asked, (0, 0), blocks, ten_less_the_decodes)
    assert {c.id for c in asked if c.committed} <= set(accepted)


def test_two_that_fit_are_better_than_the_first() -> None:
    # 10 tokens/s, 9 beside a decode: the first takes all 40 there are at 4 s, and leaves 18 by 6 s
    large, small, last = (Candidate(i, d, t, 1, 1) for i, d, t in [(0, 4.0, 40), (1, 5.0, 30), (2, 6.0, 25)])
    assert admit([large, small, last], (0, 0), 9, ten_less_the_decodes) == (1, 2)
    assert admit([large, small, last._replace(committed=True)], (0, 0), 9, ten_less_the_decodes) == (1, 2)
    assert admit([large._replace(profit=3.0), small, last], (0, 0), 9, ten_less_the_decodes) == (0,)
    # one block: 29 tokens to spare after 1, 35 after 2
    assert admit([large, small, last], (0, 0), 1, ten_less_the_decodes) == (2,)


@pytest.mark.parametrize(("tokens", "accepted"), [(18, (0, 1)), (19, (0,))])
def test_who_has_begun_and_is_too_late_takes_what_there_is(tokens: int, accepted: tuple[int, ...]) -> None:
    # 10 tokens by 1 s for 30; beside it, 9 a second for two more
    begun = Candidate(0, 1.0, 30, 0, 1, committed=True)
    assert admit([begun, Candidate(1, 3.0, tokens, 1, 1)], (0, 0), 9, ten_less_the_decodes) == accepted


def test_of_those_that_are_alike_the_first_are_accepted() -> None:
    alike = [Candidate(i, 2.0, 9, 1, 1) for i in range(4)]  # 20 tokens by 2 s
    assert admit(alike, (0, 0), 9, ten_less_the_decodes) == (0, 1)
    assert admit(alike[::-1], (0, 0), 1, ten_less_the_decodes) == (0,)


def test_of_sets_that_leave_as_much_to_spare_the_one_with_fewer_blocks_is_accepted() -> None:
    for first, second in ((3, 1), (1, 3)):
        asked = [Candidate(0, 2.0, 15, first, 0), Candidate(1, 2.0, 15, second, 1)]  # 20 tokens by 2 s
        assert admit(asked, (0, 0), 9, ten_less_the_decodes) == ((1,) if second < first else (0,))
