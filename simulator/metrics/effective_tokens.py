"""Effective tokens (TokenFlow, arXiv 2510.02758): a token counts by how little is still unread when it comes."""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
from simulator.metrics.ragged import Ragged
from simulator.token_log import Floats, Ints, TokenTimes

FULL = 0.1
"""Share of the output that may lie unread for a token to count fully."""
NOTHING = 0.2
"""Share of the output from which on a token counts nothing; in between the weight falls linearly."""


def effective_tokens(elapsed: TokenTimes, start: Ragged, speed: Floats, output_length: Ints) -> Floats:
    """Sum of the weights of the delivered tokens of each request, however it ended, (n,), in [0, n].

    elapsed: token times, seconds since submission; start: of `deadlines.stall_free_start` at `speed`, tokens/s
    (n,); output_length: tokens of the whole answer, (n,), or what was delivered if that is more.

    Open in the paper: what lies unread is counted when the token comes and without it, the token being read
    by what is left of it; the reader takes the first token as soon as it is there.
    """
    counts = np.diff(elapsed.offsets)
    whole = np.maximum(np.maximum(output_length, counts), 1)
    unread = (start.values - elapsed.times) * np.repeat(speed, counts) + (ragged.positions(elapsed.offsets) - 1)
    weight = (NOTHING - unread / np.repeat(whole, counts)) / (NOTHING - FULL)
    return ragged.reduce(np.add, np.clip(weight, 0.0, 1.0, out=weight), elapsed.offsets, empty=0.0)
