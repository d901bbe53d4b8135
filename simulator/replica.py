"""One replica: a SimPy process that asks its policy for a plan, checks it, applies it and lets time pass.

Why it is fast: nothing here loops over the batch per token. A plan that only decodes stands until something
happens, so the replica leaps over all those iterations in one timeout, and any event for it cuts the leap at the
first boundary at or after the event. Nothing is recorded of a leap until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from math import inf
from types import MappingProxyType

from simulator.clock import Clock, Event
from simulator.kv_cache import KVCache
from simulator.latency import Batch, LatencyModel, RunLatencyModel
from simulator.plan_check import check_plan
from simulator.policy import (
    DECODE_ALL,
    EngineLimits,
    PolicyEvent,
    ReplicaView,
    SchedulerPolicy,
    StepPlan,
    changes_more_than_decodes,
    same_plan,
)
from simulator.recorder import Recorder
from simulator.request import DecodeClock, RequestState
from simulator.request_pool import RequestPool
from simulator.speculation import Drafts
from simulator.step_run import StepRun
from simulator.swap_space import HostLink, SwapSpace
from simulator.token_log import Status

CANCELLED = "cancelled"
"""Reason of a request whose user lost patience."""


class Replica:
    """Serves the requests that are submitted to it.

    `leap=False` takes every iteration by itself and asks the policy at each: slow, obvious, and the log must be
    the same. `on_end(request_id)` is called when a request has ended, before the policy is asked again.
    `predict_step_time` is what policies get to see of the latency model; the model itself by default. `seed` is
    that of the draws by which drafted tokens are accepted.
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
        seed: int = 0,
        host_link: HostLink | None = None,
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
        self.drafts = Drafts(limits.speculation, seed)
        self._output_length = output_length
        self._on_end = on_end
        self._steps = DecodeClock()
        self._kv = KVCache(num_blocks, limits.block_size, limits.watermark, self._steps)
        self._swap = SwapSpace(limits.swap_space_bytes, host_link, limits.block_size)
        self._pool = RequestPool(self._kv, self._swap, self._steps, output_length, recorder)
        self._view = ReplicaView(
            clock.now,
            0,
            MappingProxyType(self._pool.waiting),
            MappingProxyType(self._pool.running),
            MappingProxyType(self._pool.prefilling),
            self._kv,
            self._swap,
            limits,
            predict_step_time or latency.step_time,
        )
        self.num_plans = 0
        self.num_iterations = 0
        self.number_in_system_integral = 0.0
        self._integrated_to = clock.now
        self._run: StepRun | None = None  # the decode steps under way
        self._told = 0  # how many of them the pool has been told of
        self._first_held = 0
        self._moving_time = 0.0
        self._cancelled: list[RequestState] = []
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
            self._catch_up()
            self._policy.on_event(PolicyEvent("arrival", self._clock.now, request))
        self._notice()

    def cancel(self, request: RequestState) -> None:
        """The user of `request` leaves now; the replica notices at the next boundary, before it gives a token."""
        self._cancelled.append(request)
        self._notice()

    def _drop_cancelled(self) -> None:
        for request in self._cancelled:
            self._end(request, Status.DROPPED, CANCELLED)
        self._cancelled.clear()

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
        elif self._leap and self._run is not None:
            steps = self._run.steps_until(self._clock.now)
            if steps < self._run.planned:
                self._run.planned = steps
                self._wake = self._clock.move(self._wake, self._run.boundary(steps))

    def _catch_up(self) -> None:
        """Bring the counts of a leap under way up to the last boundary that has passed: what a policy sees is true."""
        if self._leap and self._run is not None:
            self._tell(self._run, self._run.steps_until(self._clock.now) - 1)

    def _tell(self, run: StepRun, steps: int) -> None:
        """The first `steps` steps of the run have been taken."""
        if steps > self._told:
            self._pool.advance(steps - self._told, run.boundary(steps))
            self._told = steps

    # -- the loop --------------------------------------------------------------------------------------------

    def _serve(self) -> Generator[Event, None, None]:
        pool, kv = self._pool, self._kv
        while not self._closing:
            if not (pool.waiting or pool.running):
                yield self._sleep(None)
                continue
            if self._cancelled:
                self._drop_cancelled()
                continue
            plan = self._ask()
            if plan is not DECODE_ALL or pool.paused or not pool.num_decodes or kv.needed_next > kv.free:
                check_plan(plan, self._view)
                self._apply(plan)
            if plan.prefill:
                yield self._begin_prefill(plan)
                self._end_prefill(plan)
            elif plan.speculate:
                yield self._begin_speculation(plan)
                self._end_speculation(plan)
            elif plan.decode and pool.num_decodes:
                run = self._begin_decode(plan)
                yield self._wake
                self._tell(run, run.planned)
                while not self._leap and self._goes_on(plan, run):
                    yield self._next_step(run)
                    self._tell(run, run.planned)
                self._end_decode(run)
            elif self._moving_time:
                yield self._wait_for_moving()
            elif not (plan.drop or plan.preempt or plan.resume):
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
        for request_id, how in plan.preempt.items():
            self._moving_time += pool.preempt(request_id, how, now)
        for request_id in plan.resume:
            self._moving_time += pool.resume(request_id, now)
        pool.set_decoding(plan.decode)

    def _sleep(self, until: float | None) -> Event:
        """Wait for an event, or for the time at which the policy wants to be asked."""
        self._asleep = True
        self._wake = self._clock.event() if until is None else self._clock.at(until)
        return self._wake

    def _end(self, request: RequestState, status: Status, reason: str = "") -> None:
        """`request` leaves the system now."""
        self._integrate()
        self._pool.remove(request)
        self._record.leave(request.id, self._clock.now, status, reason)
        self.drafts.forget(request.id)
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
        duration = _checked(self._latency.step_time(batch), batch) + self._charge_moving()
        return self._one_iteration(duration, tokens, decodes, kv_tokens, needed)

    def _one_iteration(self, duration: float, tokens: int, decodes: int, kv_tokens: int, needed: int) -> Event:
        """Record an iteration that begins now, a run of its own, with `needed` blocks to come; wait for its end."""
        now = self._clock.now
        held = self._kv.num_blocks - self._kv.free + needed
        self._record.run(now, 1, duration, 0.0, tokens, decodes, kv_tokens, held, held)
        self.num_iterations += 1
        self._wake = self._clock.at(now + duration)
        return self._wake

    def _end_prefill(self, plan: StepPlan) -> None:
        pool, now = self._pool, self._clock.now
        if plan.decode and pool.num_decodes:
            pool.advance(1, now)
            for request in pool.due():
                self._end(request, Status.FINISHED)
        for request_id, chunk in plan.prefill.items():
            request = pool.prefilling[request_id]
            pool.cache(request, chunk)
            if request not in self._cancelled and pool.end_prefill(request, now):
                self._end(request, Status.FINISHED)

    # -- an iteration that verifies drafts --------------------------------------------------------------------

    def _begin_speculation(self, plan: StepPlan) -> Event:
        pool, kv, depths = self._pool, self._kv, plan.speculate
        blocks = sum([kv.blocks_for_more(pool.running[i].num_computed_tokens + 1, n) for i, n in depths.items()])
        decodes, kv_tokens = pool.num_decodes, pool.kv_tokens
        batch = Batch(0, 0, 0, decodes + sum(depths.values()), kv_tokens, decodes)
        drafting = max(depths.values()) * self.drafts.speculation.draft_step_time
        duration = _checked(self._latency.step_time(batch), batch) + drafting + self._charge_moving()
        return self._one_iteration(duration, 0, decodes, kv_tokens, kv.needed_next + blocks)

    def _end_speculation(self, plan: StepPlan) -> None:
        pool = self._pool
        first = {request_id: pool.running[request_id].num_generated_tokens for request_id in plan.speculate}
        pool.advance(1, self._clock.now)
        for request_id, depth in plan.speculate.items():
            length = self._output_length[request_id]
            if more := self.drafts.accepted(request_id, first[request_id], depth, length):
                pool.accept(request_id, more)
        for request in pool.due():
            self._end(request, Status.FINISHED)

    # -- a run of iterations that only decode ----------------------------------------------------------------

    def _begin_decode(self, plan: StepPlan) -> StepRun:
        """Begin the run, which lasts while nothing can change in it (stepping: for its first step)."""
        pool, kv, now = self._pool, self._kv, self._clock.now
        decodes = pool.num_decodes
        self._first_held = kv.num_blocks - kv.free + kv.needed_next
        self._told = 0
        if self._run_latency is None:
            batch = Batch(0, 0, 0, decodes, pool.kv_tokens, decodes)
            run = StepRun(now, _checked(self._latency.step_time(batch), batch), 0.0, 1)
        else:
            first, growth = self._run_latency.decode_run(decodes, pool.kv_tokens)
            if not (0.0 < first < inf and 0.0 <= growth < inf):
                raise ValueError(f"decode_run({decodes}, {pool.kv_tokens}) is ({first}, {growth}) s")
            run = StepRun(now, first, growth, 1)
            if self._leap and not changes_more_than_decodes(plan):
                run.planned = self._longest(run, plan)
        run.first += self._charge_moving()
        self._run = run
        self._wake = self._clock.at(run.boundary(run.planned))
        return run

    def _wait_for_moving(self) -> Event:
        """Caches are moved and nothing runs meanwhile."""
        self._wake = self._clock.at(self._clock.now + self._charge_moving())
        return self._wake

    def _charge_moving(self) -> float:
        """What moving caches to and from host memory adds to the iteration that begins now, seconds."""
        seconds, self._moving_time = self._moving_time, 0.0
        return seconds

    def _longest(self, run: StepRun, plan: StepPlan) -> int:
        """Steps until the next completion, KV shortage or replan."""
        run.planned = self._kv.steps_that_fit(self._pool.next_finish() - self._steps.step)
        if plan.replan_after is not None:
            run.planned = min(run.planned, plan.replan_after)
        return run.planned if plan.replan_at is None else run.steps_until(plan.replan_at)

    def _goes_on(self, plan: StepPlan, run: StepRun) -> bool:
        """Whether the run goes on after this step: what a leap foresees, looked at when it has come."""
        if self._event_seen or self._run_latency is None or changes_more_than_decodes(plan):
            return False
        if self._pool.any_complete() or self._kv.needed_next > self._kv.free:
            return False
        if plan.replan_after is not None and run.planned >= plan.replan_after:
            return False
        if plan.replan_at is not None and self._clock.now >= plan.replan_at:
            return False
        self._view.now = self._clock.now
        self._view.iteration = self.num_iterations + run.planned
        self.num_plans += 1
        return same_plan(self._policy.plan(self._view), plan)

    def _next_step(self, run: StepRun) -> Event:
        run.planned += 1
        self._wake = self._clock.at(run.boundary(run.planned))
        return self._wake

    def _end_decode(self, run: StepRun) -> None:
        """Record the run as far as it went, and let go who is complete."""
        pool, kv, steps = self._pool, self._kv, run.planned
        self._run = None
        self.num_iterations += steps
        decodes = pool.num_decodes
        read = pool.kv_tokens - steps * decodes
        held = kv.num_blocks - kv.free
        self._record.run(run.start, steps, run.first, run.growth, 0, decodes, read, self._first_held, held)
        for request in pool.due():
            self._end(request, Status.FINISHED)


def _checked(duration: float, batch: Batch) -> float:
    """`duration`, if it is one. Raises ValueError naming the batch otherwise."""
    if not 0.0 < duration < inf:
        raise ValueError(f"step_time is {duration} s for {batch}")
    return duration
