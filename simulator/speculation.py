"""Speculative decoding: what a draft model costs, and how many of its tokens the verification accepts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from simulator.kv_cache import KVCache
from simulator.random_streams import uniforms
from simulator.request import RequestState


class Speculation(BaseModel):
    """The draft model of a replica. The engine charges it; policies may read it, as an operator measures both."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    acceptance: float = Field(default=0.7, ge=0, le=1, description="chance that a drafted token is accepted")
    draft_step_time: float = Field(
        default=0.0015, ge=0, description="s: one token of every request; the weights of 1.2 billion, read at 1.6 TB/s"
    )


def expected_tokens(acceptance: float, depth: int) -> float:
    """Mean output tokens of verifying a chain of `depth` drafted ones, the token that the target adds included.

    (1 − a^(n+1))/(1 − a), and n + 1 at a = 1. Source: Leviathan et al. (arXiv 2211.17192), eq. 1.
    """
    if acceptance == 1.0:
        return depth + 1.0
    return float((1.0 - acceptance ** (depth + 1)) / (1.0 - acceptance))


def blocks_to_verify(kv: KVCache, running: Mapping[int, RequestState], depths: Mapping[int, int]) -> int:
    """New blocks that so many drafts by request id take, behind the token that each of these gets anyway.

    running: all who run, and who is about to come back from host memory.
    """
    values = depths.values()
    if len(depths) == len(running) == kv.num_growing and len(set(values)) == 1:  # as so many decode steps of all
        return kv.needed_for(1 + max(values)) - kv.needed_next
    size, blocks = kv.block_size, 0
    for request_id, depth in depths.items():
        request = running[request_id]
        tokens = (request.num_computed_tokens or request.swapped_tokens) + 1
        blocks += -tokens // size - -(tokens + depth) // size
    return blocks


class Drafts:
    """Which drafted tokens are accepted: each by a draw that is a function of (seed, request id, output token) alone.

    So it makes no difference when or how deep anyone speculates: output token i, if drafted, is accepted or not.
    num_drafted, num_accepted: tokens so far.
    """

    def __init__(self, speculation: Speculation, seed: int) -> None:
        self.speculation = speculation
        self.num_drafted = self.num_accepted = 0
        self._seed = seed
        self._runs: dict[int, list[int]] = {}  # for each output token: how many from it on are accepted if drafted

    def accepted(self, request_id: int, first: int, depth: int, output_length: int) -> int:
        """How many of `depth` drafts for output tokens `first`, first + 1, … are accepted, and are output at all.

        The leading run of successes, and no more than leave room for the token that the target adds.
        """
        runs = self._runs.get(request_id)
        if runs is None:
            runs = self._runs[request_id] = self._draw(request_id, output_length)
        run = runs[first]
        num_accepted = run if run < depth else depth
        self.num_drafted += depth
        self.num_accepted += num_accepted
        return num_accepted

    def _draw(self, request_id: int, output_length: int) -> list[int]:
        refused = uniforms(self._seed, f"speculation/{request_id}", output_length) >= self.speculation.acceptance
        refused[-1] = True  # the last one is the target's
        next_refused = refused.nonzero()[0][refused.cumsum() - refused]
        runs: list[int] = (next_refused - np.arange(output_length)).tolist()
        return runs

    def forget(self, request_id: int) -> None:
        """`request_id` has ended."""
        self._runs.pop(request_id, None)
