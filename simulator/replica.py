"""One replica: a SimPy process that asks its policy for a plan, checks it, applies it and lets time pass.

Why it is fast: nothing here loops over the batch per token. A plan that only decodes stands until something
happens, so the replica leaps over all those iterations in one timeout, and any event for it cuts the leap at the
first boundary at or after the event. Nothing is recorded of a leap until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from math import sqrt
from types import MappingProxyType

from simulator.clock import Clock, Event
from simulator.kv_cache import KVCache
from simulator.latency import Batch, LatencyModel, RunLatencyModel
from simulator.plan_check import check_plan
from simulator.policy import DECODE_ALL, EngineLimits, PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan
from simulator.recorder import Recorder
from simulator.request import DecodeClock, RequestState
from simulator.request_pool import RequestPool
from simulator.token_log import Status


class Replica:
    """Serves the requests that are submitted to it.

    `leap=False` takes every iteration by itself and asks the policy at each: slow, obvious, and the log must be
    the same. `on_end(request_id)` is called when a request has ended, before the policy is asked again.
    `predict_step_time` is what policies get to see of the latency model; the model itself by default.
    """

    def __init__(
        self,
        clock: Clock,
        policy: SchedulerPolicy,
        latency: LatencyModel,
        num_blocks: int,
        limits: EngineLimits,
        output_length: Sequence[int],
        recorder: Recorder,
        *,
        leap: bool = True,
        on_end: Callable[[int], None] | None = None,
        predict_step_time: Callable[[Batch], float] | None = None,
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._listens = type(policy).on_event is not SchedulerPolicy.on_event
        self._latency = latency
        self._run_latency = latency if isinstance(latency, RunLatencyModel) else None
        self._record = recorder
        self._leap = leap
        self._on_end = on_end
        self._steps = DecodeClock()
        self._kv = KVCache(num_blocks, limits.block_size, limits.watermark, self._steps)
        self._pool = RequestPool(self._kv, self._steps, output_length, recorder)
        self._view = ReplicaView(
            clock.now,
            0,
            MappingProxyType(self._pool.waiting),
            MappingProxyType(self._pool.running),
            MappingProxyType(self._pool.prefilling),
            self._kv,
            limits,
            predict_step_time or latency.step_time,
        )
        self.num_plans = 0
        self.num_iterations = 0
        self.number_in_system_integral = 0.0
        self._integrated_to = clock.now
        # The present run of iterations: its origin, its durations, its length as it now stands.
        self._start = self._first = self._growth = 0.0
        self._planned = 0
        self._first_held = 0
        self._asleep = self._closing = False
        self._event_seen = False  # since the policy was last asked
        self._wake: Event = clock.event()
        clock.process(self._serve())

    def submit(self, request: RequestState) -> None:
        """`request` arrives now."""
        self._integrate()
        request._clock = self._steps
        self._pool.waiting[request.id] = request
        if self._listens:
            self._policy.on_event(PolicyEvent("arrival", self._clock.now, request))
        self._notice()

    def close(self) -> None:
        """Stop at the next boundary; who is in the system then stays unfinished."""
        self._closing = True
        self._notice()

    def _notice(self) -> None:
        """Something happened now: wake up, or end the present leap at the first boundary at or after it."""
        if self._event_seen:
            return
        self._event_seen = True
        if self._asleep:
            self._wake = self._clock.move(self._wake, self._clock.now)
        elif self._leap and self._planned > 1:
            steps = self._steps_until(self._clock.now)
            if steps < self._planned:
                self._planned = steps
                self._wake = self._clock.move(self._wake, self._boundary(steps))

    # -- the loop --------------------------------------------------------------------------------------------

    def _serve(self) -> Generator[Event, None, None]:
        pool, kv = self._pool, self._kv
        while not self._closing:
            if not (pool.waiting or pool.running):
                yield self._sleep(None)
                continue
            plan = self._ask()
            if plan is not DECODE_ALL or pool.paused or not pool.num_decodes or kv.needed_next > kv.free:
                check_plan(plan, self._view)
                self._apply(plan)
            if plan.prefill:
                yield self._begin_prefill(plan)
                self._end_prefill(plan)
            elif plan.decode and pool.num_decodes:
                yield self._begin_decode(plan)
                if self._leap:
                    pool.advance(self._planned)
                else:
                    pool.advance(1)
                    while self._goes_on(plan):
                        yield self._next_step()
                        pool.advance(1)
                self._end_decode()
            elif not (plan.drop or plan.preempt):
                yield self._sleep(plan.replan_at)
        self._integrate()
        pool.close()

    def _ask(self) -> StepPlan:
        self._view.now = self._clock.now
        self._view.iteration = self.num_iterations
        self._event_seen = self._asleep = False
        self.num_plans += 1
        plan = self._policy.plan(self._view)
        if self._listens:
            self._policy.on_event(PolicyEvent("plan", self._clock.now, None, plan, self.num_iterations))
        return plan

    def _apply(self, plan: StepPlan) -> None:
        """Drop, preempt, pause and resume as the checked `plan` says."""
        pool, now = self._pool, self._clock.now
        for request_id, reason in plan.drop.items():
            self._end(pool.running.get(request_id) or pool.waiting[request_id], Status.DROPPED, reason)
        for request_id in plan.preempt:
            pool.preempt(request_id, now)
        pool.set_decoding(plan.decode)

    def _sleep(self, until: float | None) -> Event:
        """Wait for an event, or for the time at which the policy wants to be asked."""
        self._planned = 0
        self._asleep = True
        self._wake = self._clock.event() if until is None else self._clock.at(until)
        return self._wake

    def _end(self, request: RequestState, status: Status, reason: str = "") -> None:
        """`request` leaves the system now."""
        self._integrate()
        self._pool.remove(request)
        self._record.leave(request.id, self._clock.now, status, reason)
        if self._listens:
            finished = status == Status.FINISHED
            self._policy.on_event(PolicyEvent("finish" if finished else "drop", self._clock.now, request))
        if self._on_end is not None:
            self._on_end(request.id)

    def _integrate(self) -> None:
        """Bring ∫ (number in system) dt up to now."""
        now = self._clock.now
        self.number_in_system_integral += len(self._pool) * (now - self._integrated_to)
        self._integrated_to = now

    # -- an iteration that prefills --------------------------------------------------------------------------

    def _begin_prefill(self, plan: StepPlan) -> Event:
        pool, kv = self._pool, self._kv
        now = self._clock.now
        tokens = context = pairs = 0
        for request_id, chunk in plan.prefill.items():
            cached = pool.start_prefill(request_id, now)._cached
            kv.free -= kv.blocks_for(cached + chunk) - kv.blocks_for(cached)
            tokens += chunk
            context += cached
            pairs += chunk * cached + chunk * (chunk + 1) // 2
        decodes = kv_tokens = needed = 0
        if plan.decode and pool.num_decodes:
            decodes, kv_tokens, needed = pool.num_decodes, pool.kv_tokens, kv.needed_next
        batch = Batch(tokens, context, pairs, decodes, kv_tokens, len(plan.prefill) + decodes)
        duration = self._latency.step_time(batch)
        held = kv.num_blocks - kv.free + needed
        self._record.run(now, 1, duration, 0.0, tokens, decodes, kv_tokens, held, held)
        self._planned = 1
        self.num_iterations += 1
        self._wake = self._clock.at(now + duration)
        return self._wake

    def _end_prefill(self, plan: StepPlan) -> None:
        pool, now = self._pool, self._clock.now
        if plan.decode and pool.num_decodes:
            pool.advance(1)
            for request in pool.due():
                self._end(request, Status.FINISHED)
        for request_id, chunk in plan.prefill.items():
            request = pool.prefilling[request_id]
            if pool.end_prefill(request, chunk, now):
                self._end(request, Status.FINISHED)

    # -- a run of iterations that only decode ----------------------------------------------------------------

    def _begin_decode(self, plan: StepPlan) -> Event:
        """Wait for the end of the run, which lasts while nothing can change in it (stepping: for its first step)."""
        pool, kv = self._pool, self._kv
        decodes = pool.num_decodes
        self._start = self._clock.now
        self._first_held = kv.num_blocks - kv.free + kv.needed_next
        if self._run_latency is None:
            self._first = self._latency.step_time(Batch(0, 0, 0, decodes, pool.kv_tokens, decodes))
            self._growth = 0.0
            self._planned = 1
        else:
            self._first, self._growth = self._run_latency.decode_run(decodes, pool.kv_tokens)
            self._planned = self._longest_run(plan) if self._leap else 1
        self._wake = self._clock.at(self._boundary(self._planned))
        return self._wake

    def _longest_run(self, plan: StepPlan) -> int:
        """Steps until the next completion, KV shortage or replan."""
        if plan.preempt or plan.drop:
            return 1
        steps = self._kv.steps_that_fit(self._pool.next_finish() - self._steps.step)
        if plan.replan_after is not None:
            steps = min(steps, plan.replan_after)
        if plan.replan_at is not None:
            self._planned = steps
            steps = self._steps_until(plan.replan_at)
        return steps

    def _boundary(self, steps: int) -> float:
        """When iteration `steps` (from 1) of the present run ends: one expression for both modes and the log."""
        return self._start + (steps * self._first + self._growth * (steps * (steps - 1) * 0.5))

    def _steps_until(self, time: float) -> int:
        """The first boundary of the present run at or after `time`, the last planned one at most."""
        if self._boundary(self._planned) <= time:
            return self._planned
        linear = self._first - 0.5 * self._growth
        passed = time - self._start
        steps = max(1, int(2.0 * passed / (linear + sqrt(linear * linear + 2.0 * self._growth * passed))))
        while steps > 1 and self._boundary(steps - 1) >= time:
            steps -= 1
        while self._boundary(steps) < time:
            steps += 1
        return steps

    def _goes_on(self, plan: StepPlan) -> bool:
        """Whether the run goes on after this step: what a leap foresees, looked at when it has come."""
        if self._event_seen or self._run_latency is None or plan.preempt or plan.drop:
            return False
        if self._pool.any_complete() or self._kv.needed_next > self._kv.free:
            return False
        if plan.replan_after is not None and self._planned >= plan.replan_after:
            return False
        if plan.replan_at is not None and self._clock.now >= plan.replan_at:
            return False
        self._view.now = self._clock.now
        self._view.iteration = self.num_iterations + self._planned
        self.num_plans += 1
        return self._policy.plan(self._view) == plan

    def _next_step(self) -> Event:
        self._planned += 1
        self._wake = self._clock.at(self._boundary(self._planned))
        return self._wake

    def _end_decode(self) -> None:
        pool, kv = self._pool, self._kv
        steps, decodes = self._planned, pool.num_decodes
        self.num_iterations += steps
        read_first = pool.kv_tokens - steps * decodes
        held = kv.num_blocks - kv.free
        self._record.run(self._start, steps, self._first, self._growth, 0, decodes, read_first, self._first_held, held)
        for request in pool.due():
            self._end(request, Status.FINISHED)
