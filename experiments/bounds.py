"""How near a run comes to an upper bound on its smooth goodput."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

from hardware_profiles import Profile
from simulator.alone import alone_times, token_throughput_limit
from simulator.metrics import User, best_benefits, share_of_bound
from simulator.metrics.periods import per_second
from simulator.policy import EngineLimits
from simulator.workload import Workload

_REQUESTS_AT_ONCE = 1024


def worth_alone(workload: Workload, profile: Profile, user: User, first: int = 0) -> float:
    """What requests `first`, … would be worth to `user` at most if each had the GPU to itself, tokens.

    `user` is that of `workload`, request by request (`experiments.people.judges`).
    """
    parts = []
    for start in range(first, len(workload), _REQUESTS_AT_ONCE):
        part = slice(start, start + _REQUESTS_AT_ONCE)
        alone = alone_times(workload, profile.latency, part.start, part.stop)
        parts.extend(best_benefits(alone, workload.speed[part], user).tolist())
    return fsum(parts)


def bound_values(
    values: Mapping[str, float], worth_alone: float, workload: Workload, profile: Profile, limits: EngineLimits
) -> dict[str, float]:
    """The bound over the span and the window of a run with these summary values, tokens/s, and the share reached.

    The bound is the lesser of `worth_alone`, which is the same for every policy, and the tokens that the GPU can
    make in the run's span with every seat taken (`simulator.alone.token_throughput_limit`).
    """
    most = token_throughput_limit(workload, profile.latency, limits.max_num_seqs) * values["span"]
    bound = min(worth_alone, most)
    reached = values["smooth_goodput_tokens_per_s"] * values["span"]
    return {
        "smooth_goodput_bound_tokens_per_s": per_second(bound, values["span"]),
        "smooth_goodput_bound_tokens_per_s_window": per_second(bound, values["window"]),
        "smooth_goodput_share_of_bound": share_of_bound(reached, bound),
    }
