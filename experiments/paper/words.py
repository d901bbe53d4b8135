"""How the page calls policies and settings."""

from __future__ import annotations

from math import isfinite

from experiments.intervals import Interval
from experiments.numbers import number, with_half_width

FCFS = "fcfs"


def policy_words(policy: str) -> str:
    """A policy of the engine's two ways to prefill, such as "chunked prefill, 512 tokens"."""
    return policy if policy == FCFS else f"chunked prefill, {chunk_words(policy)}"


def chunk_words(policy: str) -> str:
    """The chunk size of a chunked prefill, such as "512 tokens"."""
    return f"{policy.partition('=')[2]} tokens"


def setting_words(study: str) -> str:
    """The model and lengths of a study, such as "8B, azure-conv"."""
    words = study.partition("-")[2]
    for model, size in (("llama-3-8b-", "8B, "), ("qwen2.5-14b-", "14B, "), ("qwen2-7b-", "7B, ")):
        words = words.replace(model, size)
    return words


def spell(value: Interval, factor: float = 1.0) -> str:
    """The mean, times `factor`, with its half-width; without one where that is not a number."""
    mean, half_width = factor * value.mean, factor * value.half_width
    return with_half_width(mean, half_width) if isfinite(mean) and isfinite(half_width) else number(mean)
