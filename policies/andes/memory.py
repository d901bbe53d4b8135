"""What Andes remembers between plans: the plan that stands, and what has happened so far."""

from __future__ import annotations

from policies.andes.reading import Expectation, Reading
from simulator.policy import DECODE_ALL, PolicyEvent, ReplicaView, StepPlan


class Memory:
    """Kept by events alone.

    reading: how late everybody is read. promised: the plan that stands until an event, if any. A plan made
    under pressure says `replan_after`, another one does not.
    """

    __slots__ = (
        "_last",
        "_last_exchange",
        "_last_iteration",
        "num_iterations_under_pressure",
        "num_preemptions",
        "num_requests",
        "promised",
        "reading",
    )

    def __init__(self, expects: Expectation) -> None:
        self.reading = Reading(expects)
        self.promised: StepPlan | None = None
        self.num_requests = 0
        self.num_preemptions = 0
        self.num_iterations_under_pressure = 0
        self._last = DECODE_ALL
        self._last_iteration = 0
        self._last_exchange: int | None = None

    def due(self, view: ReplicaView) -> bool:
        """Whether the time of the promised plan is over."""
        if view.kv.needed_next > view.kv.free:
            return True
        after = self._last.replan_after
        return after is not None and view.iteration >= self._last_iteration + after

    def since_exchange(self, iteration: int) -> float:
        """Iterations since a plan last preempted; infinitely many if none has."""
        return float("inf") if self._last_exchange is None else iteration - self._last_exchange

    def note(self, event: PolicyEvent) -> None:
        """Take in what happened."""
        if event.plan is not None:
            self._note_plan(event.plan, event.iteration)
            return
        self.promised = None
        if event.request is None:
            return
        if event.kind == "arrival":
            self.num_requests += 1
            self.reading.arrive(event.request)
        else:
            self.reading.leave(event.request)

    def _note_plan(self, plan: StepPlan, iteration: int) -> None:
        self.reading.follow(plan)
        if plan is self.promised:  # given again where the engine asks at every iteration: it began when first given
            return
        if self._last.replan_after is not None:
            self.num_iterations_under_pressure += iteration - self._last_iteration
        if plan.preempt:
            self.num_preemptions += len(plan.preempt)
            self._last_exchange = iteration
        self._last, self._last_iteration = plan, iteration
        self.promised = None if plan.prefill or plan.preempt or plan.resume or plan.drop else plan
