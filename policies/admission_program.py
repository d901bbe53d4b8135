"""Whom to accept so that all who are accepted get their first tokens in time: the dynamic program of SLOs-Serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Counts = tuple[int, ...]
"""Decoding requests by TPOT tier."""
_ROUNDING = 1e-9
"""Share by which a rate has to be higher than needed, lest sums that are rounded differently say that it is not."""


class Candidate(NamedTuple):
    """A request that is to prefill."""

    id: int
    deadline: float
    """Of its first token, seconds from now."""
    tokens: int
    """To prefill."""
    blocks: int
    """Of KV cache that it will take from those free."""
    tier: int
    """Index of its TPOT tier."""
    committed: bool = False
    """Its prefill has begun, so it is not to be rejected."""
    profit: float = 1.0
    """Above 0."""


class _State(NamedTuple):
    profit: float
    blocks: int
    spare: float  # prefill tokens up to the last deadline that nobody needs
    accepted: tuple[int, ...]


def all_in_time(
    candidates: Sequence[Candidate], decoding: Counts, free_blocks: int, sustains: Callable[[Counts, float], bool]
) -> bool:
    """Whether the one rate that meets every deadline is always there, so that `admit` accepts all; no proves nothing.

    sustains: whether so many prefill tokens/s are left over when so many decode in each tier.
    """
    if sum([candidate.blocks for candidate in candidates]) > free_blocks:
        return False
    rate, tokens = 0.0, 0
    stages = [decoding]
    for candidate in sorted(candidates, key=lambda c: (c.deadline, c.id)):
        if candidate.deadline <= 0.0:
            return False
        tokens += candidate.tokens
        rate = max(rate, tokens / candidate.deadline)
        stages.append(_one_more(stages[-1], candidate.tier))
    return all(sustains(counts, rate * (1.0 + _ROUNDING)) for counts in stages)


def admit(
    candidates: Sequence[Candidate], decoding: Counts, free_blocks: int, spare_rate: Callable[[Counts], float]
) -> tuple[int, ...]:
    """Ids of the most profitable set that can be served in time, in order of deadlines.

    spare_rate: prefill tokens/s left over when so many decode in each tier at its pace; negative if they are too
    many. Up to each deadline the spare tokens add up, an accepted request takes its own from them and decodes from
    then on. A set is served in time if the spare tokens and the rate never go negative and the blocks suffice. A
    committed request that cannot be served in time takes all the spare tokens there are, and is among the ids. Ties
    go to the most spare tokens.

    Source: SLOs-Serve (arXiv 2504.08784): states by accepted count per tier, each with the Pareto set of profit,
    memory and spare tokens. Deviation: all states pass the same deadlines together, which stands for the paper's
    fourth coordinate, the finish time.
    """
    ordered = sorted(candidates, key=lambda c: (c.deadline, c.id))
    states: dict[Counts, list[_State]] = {decoding: [_State(0.0, 0, 0.0, ())]}
    now = 0.0
    for candidate in ordered:
        wait, now = max(0.0, candidate.deadline - now), max(now, candidate.deadline)
        states = {
            counts: [s._replace(spare=s.spare + wait * max(0.0, spare_rate(counts))) for s in front]
            for counts, front in states.items()
        }
        states = _with(candidate, states, free_blocks, spare_rate)
    best = max((s for front in states.values() for s in front), key=lambda s: (s.profit, s.spare, -s.blocks))
    return best.accepted


def _one_more(counts: Counts, tier: int) -> Counts:
    return (*counts[:tier], counts[tier] + 1, *counts[tier + 1 :])


def _with(
    candidate: Candidate,
    states: dict[Counts, list[_State]],
    free_blocks: int,
    spare_rate: Callable[[Counts], float],
) -> dict[Counts, list[_State]]:
    """The states after `candidate` was accepted, or rejected."""
    after: dict[Counts, list[_State]] = {}
    for counts, front in states.items():
        more = _one_more(counts, candidate.tier)
        accepted = [_accept(candidate, state) for state in front]
        feasible = [s for s in accepted if s.spare >= 0.0 and s.blocks <= free_blocks]
        if feasible and spare_rate(more) >= 0.0:
            after.setdefault(more, []).extend(feasible)
        if not candidate.committed:
            after.setdefault(counts, []).extend(front)
    if after:
        return {counts: _pareto(front) for counts, front in after.items()}
    return {
        _one_more(counts, candidate.tier): _pareto([_accept(candidate, state)._replace(spare=0.0) for state in front])
        for counts, front in states.items()
    }


def _accept(candidate: Candidate, state: _State) -> _State:
    return _State(
        state.profit + candidate.profit,
        state.blocks + candidate.blocks,
        state.spare - candidate.tokens,
        (*state.accepted, candidate.id),
    )


def _pareto(front: list[_State]) -> list[_State]:
    """The states that no other one beats in profit, blocks and spare tokens at once."""
    if len(front) < 2:
        return front
    kept: list[_State] = []
    for state in sorted(front, key=lambda s: (-s.profit, s.blocks, -s.spare, s.accepted)):
        if all(state.blocks < other.blocks or state.spare > other.spare for other in kept):
            kept.append(state)
    return kept
