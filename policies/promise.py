"""The base of policies whose reasons pass with time: what they promised stands until it is due."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import PrivateAttr

from simulator.policy import PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan, changes_more_than_decodes


class PromiseKeeper(SchedulerPolicy):
    """Repeats a plan that only decodes until an event, a shortage of blocks, or the replan time that it named.

    So `decide` may weigh what changes from iteration to iteration, and a leap over them gives the same log as
    taking each: the plan says when to decide again, and in between nobody does.
    """

    _promise: StepPlan | None = PrivateAttr(default=None)
    _promised_after: int = PrivateAttr(default=0)

    @abstractmethod
    def decide(self, view: ReplicaView) -> StepPlan:
        """What to run next, now that the last promise is over; as pure as `plan`."""

    def note(self, event: PolicyEvent) -> None:
        """Take note of what happened; repetitions of a promise are left out."""

    def plan(self, view: ReplicaView) -> StepPlan:
        """The promise while it stands, else a new decision."""
        promise = self._promise
        if promise is None or view.kv.needed_next > view.kv.free or self._is_due(promise, view.now, view.iteration):
            return self.decide(view)
        return promise

    def on_event(self, event: PolicyEvent) -> None:
        """Remember what was promised; anything but its repetition ends it."""
        plan, promise = event.plan, self._promise
        if plan is not None and plan == promise and not self._is_due(promise, event.time, event.iteration):
            return
        if plan is not None and not changes_more_than_decodes(plan):
            self._promise = plan
            self._promised_after = event.iteration
        elif promise is not None:
            self._promise = None
        self.note(event)

    def _is_due(self, promise: StepPlan, now: float, iteration: int) -> bool:
        if promise.replan_at is not None and now >= promise.replan_at:
            return True
        return promise.replan_after is not None and iteration >= self._promised_after + promise.replan_after
