"""Speculative decoding: what a draft model costs, and how many of its tokens the verification accepts."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from simulator.random_streams import uniforms


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


class Drafts:
    """Which drafted tokens are accepted: each by a draw that is a function of (seed, request id, output token) alone.

    So it makes no difference when or how deep anyone speculates: output token i, if drafted, is accepted or not.
    num_drafted, num_accepted: tokens so far.
    """

    def __init__(self, speculation: Speculation, seed: int) -> None:
        self.speculation = speculation
        self.num_drafted = self.num_accepted = 0
        self._seed = seed
        self._refused: dict[int, list[int]] = {}

    def accepted(self, request_id: int, first: int, depth: int, output_length: int) -> int:
        """How many of `depth` drafts for output tokens `first`, first + 1, … are accepted, and are output at all.

        The leading run of successes, and no more than leave room for the token that the target adds.
        """
        refused = self._refused.get(request_id)
        if refused is None:
            draws = uniforms(self._seed, f"speculation/{request_id}", output_length)
            refused = np.flatnonzero(draws >= self.speculation.acceptance).tolist()
            self._refused[request_id] = refused
        at = bisect_left(refused, first)
        run = refused[at] - first if at < len(refused) else depth
        num_accepted = min(run, depth, output_length - first - 1)
        self.num_drafted += depth
        self.num_accepted += num_accepted
        return num_accepted

    def forget(self, request_id: int) -> None:
        """`request_id` has ended."""
        self._refused.pop(request_id, None)
