"""Least slack first: earliest deadline first that reckons with what the next token takes."""

from __future__ import annotations

from policies.deadlines import prefill_time
from policies.edf import Edf
from simulator.latency import Batch
from simulator.policy import ReplicaView


class LeastSlack(Edf):
    """As edf, but by slack: the time left until the next token is due, less the estimated time to make it.

    For a waiting request that is its prefill alone, for a running one a decode of all, with the KV tokens taken from
    the blocks in use. So a long prompt starts earlier than a short one that is due at the same time.

    Source: least laxity first (Mok, 1983), with the token as the job; the estimates are the view's.
    """

    name = "least_slack"

    def prefill_allowance(self, view: ReplicaView, tokens: int) -> float:
        """Estimated time of a prefill of so many tokens alone, seconds."""
        return prefill_time(view, tokens)

    def decode_allowance(self, view: ReplicaView) -> float:
        """Estimated time of a decode of all, seconds."""
        kv, decodes = view.kv, view.num_decodes
        return view.predict_step_time(Batch(0, 0, 0, decodes, (kv.num_blocks - kv.free) * kv.block_size, decodes))
