"""An upper bound on the smooth goodput of a run: what no schedule could have exceeded."""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.smooth_goodput import benefit
from simulator.metrics.user import User
from simulator.token_log import Floats, TokenTimes


def best_benefits(alone: TokenTimes, speed: Floats, user: User) -> Floats:
    """The most that each request can be worth if no token comes earlier than in `alone`, tokens, (n,).

    alone: token times since submission, seconds, such as those of the request alone on the hardware. speed:
    tokens/s, (n,). It is max_k (k − α·f(l_k)) over the number k ≥ 0 of tokens delivered, l_k being the idle latency
    of the first k: whoever is dropped after k tokens is worth no more. With origin `first_token` a delay can pay,
    so there l_k is 0. f must not fall with the idle latency.
    """
    counts = np.diff(alone.offsets)
    position = ragged.positions(alone.offsets)
    if user.origin == "first_token":
        idle = np.zeros(len(alone.times))
    else:
        lateness = alone.times - position / np.repeat(speed, counts)
        idle = ragged.running_max(np.maximum(lateness, 0.0), alone.offsets)
    worth = benefit(idle, position, user)
    nothing = benefit(np.zeros(len(counts)), np.zeros(len(counts), dtype=np.int64), user)
    best: Floats = np.fmax(ragged.reduce(np.maximum, worth, alone.offsets, empty=np.nan), nothing)
    return best


def share_of_bound(reached: float, bound: float) -> float:
    """reached/bound: below 0 if waiting outweighs the tokens, NaN unless the bound is positive."""
    return reached / bound if bound > 0 else float("nan")
