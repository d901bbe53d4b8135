"""Shortest remaining processing time first, by an oracle."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PrivateAttr

from policies.ordering import fewest_that_make_room, held
from policies.prefill_first import PrefillFirst
from simulator.policy import NONE, OraclePolicy, ReplicaView, StepPlan
from simulator.request import RequestState


class SrptOracle(PrefillFirst, OraclePolicy):
    """Like fcfs, but in order of the true number of output tokens yet to come, the fewest first.

    With `preemptive`, a waiting request for which there is no seat or block takes the place of running ones that have
    more to come than it has, the longest first; they are prefilled again later, which costs more than it gains
    once the queue is long, so it is off by default. A clairvoyant reference and no bound: serving is batched, and
    prompts count for nothing in the order.

    Source: Schrage (Operations Research 16, 1968): on one server that serves one at a time, preemption being free,
    no order has a smaller mean time in the system. Deviation: remaining tokens stand for remaining time.
    """

    name = "srpt_oracle"

    preemptive: bool = Field(default=False, description="whether shorter requests displace longer ones that run")

    _output_length: Sequence[int] = PrivateAttr(default=())

    def foresee(self, output_length: Sequence[int]) -> None:
        """Take the true output lengths by request id, tokens."""
        self._output_length = output_length

    def rank(self, request: RequestState) -> float:
        """Output tokens yet to come."""
        return self._output_length[request.id] - request.num_generated_tokens

    def plan(self, view: ReplicaView) -> StepPlan:
        """As `PrefillFirst`; if nobody fits, the first in the queue may displace longer ones."""
        plan = super().plan(view)
        if self.preemptive and view.waiting and view.running and not plan.prefill:
            return self._displacement(view) or plan
        return plan

    def _displacement(self, view: ReplicaView) -> StepPlan | None:
        """Prefill of the first in the queue in place of the fewest longer ones, if that makes room enough."""
        kv = view.kv
        first = next(self._queue.present(view.waiting))
        remaining, tokens = self.rank(first), first.num_tokens_to_prefill
        length = self._output_length
        longer = [r for r in view.running.values() if length[r.id] - r.num_generated_tokens > remaining]
        longer.sort(key=self._order)
        victims = fewest_that_make_room(view, longer, kv.blocks_for(tokens) + kv.watermark_blocks - kv.free, held)
        if victims is None:
            return None
        return StepPlan(prefill={first.id: tokens}, decode=NONE, preempt=dict.fromkeys(victims, "recompute"))
