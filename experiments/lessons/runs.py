"""Runs that a slider asks for: small, and kept, so that a slider that is moved back answers at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from experiments.contender import contender
from hardware_profiles import Profile, load_profile
from simulator import EngineLimits, TokenLog, simulate
from simulator.delivery import deliver
from simulator.workload import FixedLengths, PoissonArrivals, Workload, load_length_table, synthetic_workload

PROFILE = "a100-80gb/llama-3-8b/tp1+vllm-2024"
"""One A100-80GB with an 8B model, the overhead of its engine included."""
_KEPT = 64
"""Runs that are remembered; a slider has fewer places."""


@lru_cache
def profile(name: str = PROFILE) -> Profile:
    """The hardware profile of that name."""
    return load_profile(name)


@lru_cache(maxsize=_KEPT)
def requests(*each: tuple[float, int, int]) -> Workload:
    """A workload by hand: (arrival in seconds, prompt and output length in tokens) of each request, in that order."""
    arrival, prompt, output = zip(*each, strict=True)
    return Workload("by hand", np.array(arrival, dtype=np.float64), np.array(prompt), np.array(output))


@lru_cache(maxsize=_KEPT)
def poisson(
    rate: float,
    lengths: str | tuple[int, int] = "azure-conv",
    *,
    num_requests: int | None = None,
    window: float | None = None,
    seed: int = 0,
) -> Workload:
    """Poisson arrivals at `rate` requests/s (infinite: all at once), with lengths of a table or (prompt, output).

    Raises ValueError like `synthetic_workload`.
    """
    drawn = load_length_table(lengths) if isinstance(lengths, str) else FixedLengths(*lengths)
    return synthetic_workload(PoissonArrivals(rate), drawn, num_requests=num_requests, window=window, seed=seed)


@lru_cache(maxsize=_KEPT)
def run(load: Workload, policy: str = "fcfs", hardware: str = PROFILE, *, max_num_seqs: int | None = None) -> TokenLog:
    """The log of `load` under `policy`, spelled as `smoothserve compare --policies` has it, delivery included.

    Raises ValueError for an unknown policy or profile, or a request that can never fit.
    """
    limits = EngineLimits() if max_num_seqs is None else EngineLimits(max_num_seqs=max_num_seqs)
    who = contender(policy, limits)
    log = simulate(load, who.policy, profile(hardware), limits=who.limits)
    return deliver(log, who.delivery, load.speed)
