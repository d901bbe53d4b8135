"""Token deadlines at a constant reading speed, and how late the latest token of a request is."""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
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
