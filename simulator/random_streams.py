"""Random numbers of a request, each a function of (seed, stream name, request id, index) alone.

A stream is a counter-based generator (Philox4x64-10; Salmon et al., SC 2011) whose key is a hash of seed, stream
name and index, and a request's number is the one at position `id`. So the order in which anyone asks changes
nothing, a stream of n numbers starts with the stream of k < n, and no two purposes share a number.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

_WORDS_PER_BLOCK = 4
"""Numbers that Philox4x64 makes per value of its counter."""


def uniforms(seed: int, stream: str, num_requests: int, index: int = 0) -> npt.NDArray[np.float64]:
    """Numbers of requests 0 … num_requests − 1, (n,), uniform on the open interval (0, 1).

    index: which of a request's numbers in this stream, ≥ 0, for those who need several.
    Raises ValueError for a negative count or index.
    """
    if num_requests < 0:
        raise ValueError(f"num_requests must be ≥ 0, not {num_requests}")
    return _open_unit(_generator(seed, stream, index).random_raw(num_requests))


def uniform(seed: int, stream: str, request_id: int, index: int = 0) -> float:
    """The number of one request: `uniforms(...)[request_id]`, to the bit, at the same cost for any id.

    Raises ValueError for a negative id or index.
    """
    if request_id < 0:
        raise ValueError(f"request_id must be ≥ 0, not {request_id}")
    block, position = divmod(request_id, _WORDS_PER_BLOCK)
    generator = _generator(seed, stream, index)
    generator.advance(block)
    return float(_open_unit(generator.random_raw(_WORDS_PER_BLOCK))[position])


def _generator(seed: int, stream: str, index: int) -> np.random.Philox:
    if index < 0:
        raise ValueError(f"index must be ≥ 0, not {index}")
    digest = blake2b(f"{int(seed)}/{int(index)}/{stream}".encode(), digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(digest, "little"))


def _open_unit(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """The midpoint of one of 2⁵² equal cells: never 0 or 1, and exact in a double."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
