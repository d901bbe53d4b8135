"""Token deadlines at a constant reading speed, how late tokens are, and since when one could read without a stall."""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.ragged import Ragged
from simulator.token_log import Floats, Ints, TokenTimes


def deadline(origin: Floats, position: Ints, speed: Floats | float) -> Floats:
    """d_i = origin + i/speed, seconds, for token i (from 1), speed in tokens/s.

    Source: arXiv 2410.14257 v2. Deviation: the paper writes V·i with a V called a speed; as a time per token
    that is V = 1/speed.
    """
    return origin + position / speed


def worst_lateness(tokens: TokenTimes, origin: Floats, speed: Floats | float) -> Floats:
    """max_i (t_i − d_i) of each request, seconds, (n,); negative if every token was early, NaN without one.

    origin: (n,) seconds; speed: tokens/s, common or (n,).
    """
    counts = np.diff(tokens.offsets)
    of_token = speed if np.ndim(speed) == 0 else np.repeat(speed, counts)
    deadlines = deadline(np.repeat(origin, counts), ragged.positions(tokens.offsets), of_token)
    np.subtract(tokens.times, deadlines, out=deadlines)
    return ragged.reduce(np.maximum, deadlines, tokens.offsets, empty=np.nan)


def since_submission(tokens: TokenTimes, arrival: Floats) -> TokenTimes:
    """Token times counted from the submission of their request, seconds; arrival is (n,) seconds."""
    return TokenTimes(tokens.times - np.repeat(arrival, np.diff(tokens.offsets)), tokens.offsets)


def stall_free_start(elapsed: TokenTimes, speed: Floats) -> Ragged:
    """h_i = max_(j ≤ i) (t_j − (j − 1)/speed): since when token i can be reached at `speed` without a stall.

    elapsed: token times, seconds since submission, and so is the result, one for each token, non-decreasing.
    speed: tokens/s, (n,). A reader who is ready at time r takes token i at max(r, h_i) + (i − 1)/speed, which
    is the closed form of x_1 = max(r, t_1), x_i = max(t_i, x_(i−1) + 1/speed).
    """
    counts = np.diff(elapsed.offsets)
    late = elapsed.times - (ragged.positions(elapsed.offsets) - 1) * np.repeat(1.0 / speed, counts)
    return Ragged(ragged.running_max(late, elapsed.offsets), elapsed.offsets)
