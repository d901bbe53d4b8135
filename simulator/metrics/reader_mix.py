"""How fast people take text in: mixes of readers and listeners, one drawn for each request."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np

from simulator.random_streams import uniforms
from simulator.token_log import Floats

MixName = Literal["age", "language"]


class ReaderMix(NamedTuple):
    """Groups of people: what each needs for a token, seconds, and its share of all (in per cent, as printed)."""

    groups: tuple[str, ...]
    seconds_per_token: tuple[float, ...]
    shares: tuple[float, ...]


MIXES: Final[dict[MixName, ReaderMix]] = {
    "age": ReaderMix(
        ("18-24", "25-44", "45-54", "55-64", "65+"),
        (0.196, 0.230, 0.240, 0.249, 0.264),
        (28.04, 51.87, 11.19, 5.56, 3.33),
    ),
    "language": ReaderMix(
        ("English", "Chinese", "Korean", "French", "Spanish"),
        (0.31, 0.15, 0.19, 0.15, 0.13),
        (79.29, 7.03, 6.92, 3.58, 3.17),
    ),
}
"""Reading by age (236, 200, 192, 185 and 175 words a minute at 1.3 tokens a word) and listening by language.

Source: Andes (arXiv 2404.16283), its tables of reading and speaking speeds. The printed shares add up to
99.99 %, so they are divided by their sum.
"""


def reading_speeds(mix: MixName, num_requests: int, seed: int = 0) -> Floats:
    """Speed of the reader of requests 0 … num_requests − 1, tokens/s, (n,).

    Who reads a request is a function of (seed, mix, request id) alone, so every policy meets the same readers.
    Raises ValueError for a negative count.
    """
    _, seconds, shares = MIXES[mix]
    up_to = np.cumsum(shares) / np.sum(shares)
    group = np.searchsorted(up_to[:-1], uniforms(seed, f"reader/{mix}", num_requests), side="right")
    speeds: Floats = (1.0 / np.array(seconds))[group]
    return speeds
