"""How many tokens an iteration can prefill in a given time."""

from __future__ import annotations

from collections.abc import Callable

from simulator.latency import Batch
from simulator.policy import ReplicaView


def prefill_tokens_within(view: ReplicaView, time: float, num_decodes: int, kv_tokens: int) -> tuple[int, float]:
    """The most tokens that an iteration of at most `time` seconds can prefill beside the decodes, and what it takes.

    As of one prompt without context, within max_num_batched_tokens; 0 if the decodes take that long by themselves.
    """
    duration = _duration(view, num_decodes, kv_tokens)
    most = max(0, view.limits.max_num_batched_tokens - num_decodes)
    whole = duration(most)
    if whole <= time:
        return most, whole
    nothing = duration(0)
    return _last_within(time, duration, nothing, most, whole) if nothing <= time else (0, nothing)


def can_prefill(view: ReplicaView, tokens: int, time: float, num_decodes: int, kv_tokens: int) -> bool:
    """Whether that is at least `tokens`."""
    if tokens + num_decodes > view.limits.max_num_batched_tokens:
        return tokens == 0
    return tokens == 0 or _duration(view, num_decodes, kv_tokens)(tokens) <= time


def _duration(view: ReplicaView, num_decodes: int, kv_tokens: int) -> Callable[[int], float]:
    predict = view.predict_step_time

    def duration(tokens: int) -> float:
        pairs = tokens * (tokens + 1) // 2
        return predict(Batch(tokens, 0, pairs, num_decodes, kv_tokens, num_decodes + (tokens > 0)))

    return duration


def _last_within(
    time: float, duration: Callable[[int], float], soonest: float, high: int, latest: float
) -> tuple[int, float]:
    """The largest number below `high` whose duration, which grows with it, is at most `time`, and that duration.

    soonest, latest: the durations of 0, at most `time`, and of `high`, above it. By regula falsi, halving the weight
    of an end that stays (the Illinois rule), which takes a third of the looks of a bisection.
    """
    low, before, after = 0, time - soonest, latest - time
    low_moved = high_moved = False
    while high - low > 1:
        middle = min(max(low + round((high - low) * before / (before + after)), low + 1), high - 1)
        took = duration(middle)
        if took <= time:
            low, soonest, before = middle, took, time - took
            after, low_moved, high_moved = (after / 2 if low_moved else after), True, False
        else:
            high, after = middle, took - time
            before, low_moved, high_moved = (before / 2 if high_moved else before), False, True
    return low, soonest
