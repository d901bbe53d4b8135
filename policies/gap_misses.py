"""Who has missed the bound on the gap between two tokens (tbt)."""

from __future__ import annotations

from math import inf, nextafter

from policies.deadlines import Bounds, least_time_to_token
from policies.misses import Again, Variant, Watch
from simulator.latency import Batch
from simulator.policy import ALL, PolicyEvent, ReplicaView, StepPlan
from simulator.request import RequestState

_ROUNDING = 1e-9
"""Share of a bound by which a predicted step must stay below it to need no look."""


class GapWatch(Watch):
    """For tbt: a gap that is still open, or that the newest token has just ended.

    A token moves this deadline, so a late one is only seen by who looks before it and after it. While a run of
    decode steps, whose durations grow evenly, is predicted to keep within the bound, nobody has to look; from the
    step on that does not, each boundary is looked at. With a wrong `predict_step_time` a miss may be seen late.
    """

    def __init__(self, variant: Variant) -> None:
        self._foresees = variant == "will_miss"
        self._tbt: dict[int, float] = {}
        self._requests: dict[int, RequestState] = {}
        self._served: dict[int, RequestState] = {}  # those that have been admitted
        self._last: dict[int, float] = {}  # time of the newest token when last looked at
        self._soonest = -inf  # the first deadline then
        self._iteration = 0  # … and the iterations done

    def missed(self, view: ReplicaView) -> list[int]:
        """Overdue, late with the newest token, or (will_miss) sure to be late with the next."""
        if view.now < self._soonest and not self._foresees:
            return []
        next_boundary = view.iteration == self._iteration + 1
        return sorted(i for i, request in self._served.items() if self._is_missed(view, request, next_boundary))

    def _is_missed(self, view: ReplicaView, request: RequestState, next_boundary: bool) -> bool:
        last, tbt = request.last_token_time, self._tbt[request.id]
        if view.now >= last + tbt or (next_boundary and last > self._last.get(request.id, last) + tbt):
            return True
        return self._foresees and view.now + least_time_to_token(view, request) > last + tbt

    def again(self, view: ReplicaView, plan: StepPlan) -> Again:
        """The first deadline of those who do not decode, and the first step that may be too long for the others."""
        at = soonest = tightest = inf
        num_decodes = 0
        for i, request in self._served.items():
            due = request.last_token_time + self._tbt[i]
            if i in view.running and i not in view.prefilling and (plan.decode is ALL or i in plan.decode):
                num_decodes += 1
                soonest, tightest = min(soonest, due), min(tightest, self._tbt[i])
            elif due == due and (i in view.running or i in view.waiting):
                needs = least_time_to_token(view, request) if self._foresees else 0.0
                at = min(at, due - needs)
        after = _steps_within(view, num_decodes, soonest, tightest) if num_decodes else None
        return Again(max(at, nextafter(view.now, inf)), after)

    def arrive(self, request: RequestState, bounds: Bounds) -> None:
        """Its gaps begin with its first token."""
        self._tbt[request.id] = bounds.tbt
        self._requests[request.id] = request

    def leave(self, request: RequestState) -> None:
        """Forget it."""
        del self._tbt[request.id], self._requests[request.id]
        self._served.pop(request.id, None)

    def proceed(self, event: PolicyEvent, plan: StepPlan) -> None:
        """Remember the newest tokens, to know the gaps that the next ones end."""
        self._last = {i: request.last_token_time for i, request in self._served.items()}
        tbt = self._tbt
        self._soonest = min((last + tbt[i] for i, last in self._last.items() if last == last), default=inf)
        self._iteration = event.iteration
        for i in plan.prefill:
            self._served[i] = self._requests[i]


def _steps_within(view: ReplicaView, num_decodes: int, soonest: float, tightest: float) -> int | None:
    """After how many decode steps to look again: all before are predicted to be within the bound; None: all are."""
    kv_tokens = (view.kv.num_blocks - view.kv.free) * view.kv.block_size + num_decodes  # at least
    first = view.predict_step_time(Batch(0, 0, 0, num_decodes, kv_tokens, num_decodes))
    growth = view.predict_step_time(Batch(0, 0, 0, num_decodes, kv_tokens + num_decodes, num_decodes)) - first
    spare = tightest * (1 - _ROUNDING) - first
    if spare < 0 or view.now + first * (1 + _ROUNDING) >= soonest:
        return 1
    return max(1, int(spare / growth)) if growth > 0 else None
