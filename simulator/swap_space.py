"""Host memory that holds the KV caches of swapped requests, and the link to it."""

from __future__ import annotations

from typing import NamedTuple


class HostLink(NamedTuple):
    """What moving KV cache to host memory and back is made of, for one GPU of a replica."""

    kv_bytes_per_token: float
    """Of the part of the cache that one GPU holds."""
    bytes_per_s: float
    """Of its link to the host, each way."""


class SwapSpace:
    """Block accounting of the swap space; policies read `free`, `num_blocks` and `seconds_per_token`.

    seconds_per_token: what moving one token's cache takes, one way. The engine charges it to the iteration that
    moves (vLLM v0 copies before it runs the batch); copies of several requests add up.
    """

    __slots__ = ("free", "num_blocks", "seconds_per_token")

    def __init__(self, num_bytes: float, link: HostLink | None, block_size: int) -> None:
        self.num_blocks = int(num_bytes // (link.kv_bytes_per_token * block_size)) if link else 0
        self.free = self.num_blocks
        self.seconds_per_token = link.kv_bytes_per_token / link.bytes_per_s if link else 0.0
