"""Where the simulation is off, and why, as far as that can be found out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.trust.validation_case import Case, Quantity, Role, spread

_LONG, _SHORT = 2048, 128


class Miss(NamedTuple):
    """A kind of cases, and why they are off, which is often no more than likely."""

    words: str
    why: str
    holds: Callable[[Case], bool]


def _h100(case: Case) -> bool:
    return case.quantity is Quantity.E2E and case.profile.startswith("h100-80gb/") and case.role is not Role.ESTIMATE


def _at_tp(case: Case, tp: int) -> bool:
    return case.profile.endswith(f"/tp{tp}")


MISSES = (
    Miss(
        "7B and 8B models on 4 GPUs, profiles estimated from data sheets",
        "likely counted twice: the estimate holds the launches of all-reduces, and the preset adds 1.3 to 1.4 ms for "
        "each further GPU, fitted on pairs that have none of these models at TP 4. On H100 TensorRT-LLM takes 3.8 to "
        "4.4 ms for an iteration of one request there, of which the preset alone is 3.8; without any preset the same "
        "estimates are 27 to 50 % too fast. Use neither for conclusions about such a deployment",
        lambda c: c.role is Role.ESTIMATE and _at_tp(c, 4),
    ),
    Miss(
        "Llama-2-70B at TP 4, no preset",
        "likely: these profiles are composed from layers timed one by one, with a launch added to each all-reduce; "
        "the smaller the batch, the more that weighs",
        lambda c: c.role is Role.CHOSEN and "/llama-2-70b/" in c.profile,
    ),
    Miss(
        "Llama-3-8B and 70B on A100-40GB, a batch of 1",
        "likely: the derived profiles scale the whole of t0 by the ratio of the memory bandwidths, also the share "
        "of it that is launches and does not depend on the memory",
        lambda c: c.batch == 1 and c.profile.startswith("a100-40gb/llama-3") and c.role in (Role.FITTED, Role.UNSEEN),
    ),
    Miss(
        f"H100, batches of 16 and more with {_LONG} prompt and output tokens",
        "likely: the attention times are those of vLLM 0.24, whose kernels read the KV cache faster than those of "
        "2024; the error grows with the context and is small without",
        lambda c: _h100(c) and c.role is not Role.CHOSEN and c.batch >= 16 and c.length == _LONG,
    ),
    Miss(
        f"the same with {_SHORT} tokens, for comparison",
        "these hardly depend on the KV cache",
        lambda c: _h100(c) and c.role is not Role.CHOSEN and c.batch >= 16 and c.length == _SHORT,
    ),
    Miss(
        "TensorRT-LLM with more than the KV cache holds",
        "likely: it may admit and evict by other rules than fcfs, which preempts by recompute as vLLM does; these are "
        "batches on A100-40GB, whose capacity is inferred",
        lambda c: c.role is Role.OVERFULL and c.engine.startswith("TensorRT"),
    ),
    Miss(
        "vLLM with more than the KV cache holds, Llama-2-70B at TP 4",
        "not found out: the two batches are the last that the benchmark has of this pair; vLLM's others over the KV "
        "cache are close",
        lambda c: c.role is Role.OVERFULL and c.engine.startswith("vLLM") and "70b" in c.profile,
    ),
    Miss(
        "decode steps of vLLM in 2023 by profiles of today, TP 8",
        "the measured step takes 13 to 25 ms longer, at any context and batch: CPU time of that engine, which no "
        "preset has",
        lambda c: c.role is Role.OTHER and c.quantity is Quantity.TPOT and _at_tp(c, 8),
    ),
    Miss(
        "prefills of vLLM in 2023 by profiles of today",
        "the same CPU time mostly explains single prompts of up to 2048 tokens; with more tokens the measured times "
        "are up to 2.2 times the simulated ones, and why was not found out",
        lambda c: c.role is Role.OTHER and c.quantity is Quantity.TTFT,
    ),
)


class Found(NamedTuple):
    """A miss and what it comes to."""

    miss: Miss
    num_cases: int
    bias: float
    worst: Case


def misses(cases: Sequence[Case]) -> list[Found]:
    """The kinds of misses that there are among the cases, in the order of `MISSES`."""
    found = []
    for miss in MISSES:
        own = [case for case in cases if miss.holds(case)]
        if own:
            summary = spread(own)
            found.append(Found(miss, summary.num_cases, summary.bias, summary.worst))
    return found
