"""How many tokens an iteration can prefill in a given time."""

from __future__ import annotations

from bisect import bisect_right

from simulator.latency import Batch
from simulator.policy import ReplicaView


def prefill_tokens_within(view: ReplicaView, time: float, num_decodes: int, kv_tokens: int) -> tuple[int, float]:
    """The most tokens that an iteration of at most `time` seconds can prefill beside the decodes, and what it takes.

    As of one prompt without context, within max_num_batched_tokens; 0 if the decodes take that long by themselves.
    """

    def duration(tokens: int) -> float:
        pairs = tokens * (tokens + 1) // 2
        return view.predict_step_time(Batch(tokens, 0, pairs, num_decodes, kv_tokens, num_decodes + (tokens > 0)))

    most = max(0, view.limits.max_num_batched_tokens - num_decodes)
    whole = duration(most)
    if whole <= time:
        return most, whole
    tokens = bisect_right(range(1, most + 1), time, key=duration)
    return tokens, duration(tokens)
