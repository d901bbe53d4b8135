"""One replica: asks its policy for a plan, checks it, applies it and lets time pass, on SimPy's event queue.

Why it is fast: nothing here loops over the batch per token. A plan that only decodes stands until something
happens, so the replica leaps over all those iterations in one timeout: to their end, or to the first boundary at or
after whatever is scheduled next, before which nothing can happen. Nothing is recorded of a leap until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from math import inf
from types import MappingProxyType

from simulator.clock import Clock, Event
from simulator.kv_cache import KVCache
from simulator.latency import Batch, LatencyModel, RunLatencyModel
from simulator.plan_check import Prefill, check_plan
from simulator.policy import (
    ALL,
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
from simulator.speculation import Drafts, blocks_to_verify
from simulator.step_run import StepRun
from simulator.swap_space import HostLink, SwapSpace
from simulator.token_log import Status

CANCELLED = "cancelled"
"""Reason of a request whose user lost patience."""
_batch = partial(tuple.__new__, Batch)
"""Makes one of a tuple, without the call in between of a named tuple's own."""


class Replica:
    """Serves the requests that are submitted to it.

    `leap=False` takes every iteration by itself and asks the policy at each: slow, obvious, and the log must be
    the same. `on_end(request_id)` is called when a request has ended, before the policy is asked again.
    `predict_step_time` is what policies get to see of the latency model; the model itself by default. `seed` is
    that of the draws by which drafted tokens are accepted. `steps` is the clock of the requests that are submitted.
    """

    __slots__ = (
        "_asleep",
        "_cancelled",
        "_clock",
        "_closing",
        "_event_seen",
        "_kv",
        "_latency",
        "_leap",
        "_listens",
        "_moving_time",
        "_on_end",
        "_output_length",
        "_policy",
        "_pool",
        "_record",
        "_run",
        "_run_latency",
        "_swap",
        "_view",
        "_wake",
        "drafts",
        "num_iterations",
        "num_plans",
        "steps",
    )

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
        self.steps = DecodeClock()
        self._kv = KVCache(num_blocks, limits.block_size, limits.watermark, self.steps)
        self._swap = SwapSpace(limits.swap_space_bytes, host_link, limits.block_size)
        self._pool = RequestPool(self._kv, self._swap, self.steps, output_length, recorder)
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
        self._run: StepRun | None = None  # the decode steps under way
        self._moving_time = 0.0
        self._cancelled: list[RequestState] = []
        self._asleep = self._closing = False
        self._event_seen = False  # since the policy was last asked
        self._wake: Event = clock.unscheduled()
        clock.drive(self._serve())

    def submit(self, request: RequestState) -> None:
        """`request` arrives now."""
        now = request.arrival
        self._record.arrive(request.id, now)
        self._pool.waiting[request.id] = request
        if self._listens:
            self._catch_up(now)
            self._policy.on_event(PolicyEvent("arrival", now, request))
        self._notice(now)

    def cancel(self, request: RequestState) -> None:
        """The user of `request` leaves now; the replica notices at the next boundary, before it gives a token."""
        self._cancelled.append(request)
        self._notice(self._clock.now)

    def _drop_cancelled(self, now: float) -> None:
        for request in self._cancelled:
            self._end(request, now, Status.DROPPED, CANCELLED)
        self._cancelled.clear()

    def close(self) -> None:
        """Stop at the next boundary; who is in the system then stays unfinished."""
        self._closing = True
        self._notice(self._clock.now)

    def _notice(self, now: float) -> None:
        """Something happened now, at which a leap was planned to end: it was scheduled then. Who sleeps wakes up."""
        self._event_seen = True
        if self._asleep:
            self._asleep = False
            self._wake = self._clock.move(self._wake, now)

    def _catch_up(self, now: float) -> None:
        """Bring the counts of a leap under way up to the last boundary that has passed: what a policy sees is true."""
        run = self._run
        if self._leap and run is not None:
            passed = run.steps_until(now, run.planned) - 1
            if passed > run.told:
                self._pool.advance(passed - run.told, run.boundary(passed))
                run.told = passed

    # -- the loop --------------------------------------------------------------------------------------------

    def _serve(self) -> Generator[Event, None, None]:
        pool, kv, clock, view = self._pool, self._kv, self._clock, self._view
        waiting, running, ask = pool.waiting, pool.running, self._policy.plan
        while not self._closing:
            now = clock.now
            if not (waiting or running):
                yield self._sleep(None)
                continue
            if self._cancelled:
                self._drop_cancelled(now)
                continue
            view.now, view.iteration = now, self.num_iterations
            self._event_seen = False
            self.num_plans += 1
            plan = ask(view)
            if self._listens:
                self._policy.on_event(PolicyEvent("plan", now, None, plan, self.num_iterations))
            if plan is not DECODE_ALL or pool.paused or not pool.num_decodes or kv.needed_next > kv.free:
                totals = check_plan(plan, view)
                prefill, decode, preempt, resume, speculate, drop, replan_at, _ = plan
                if drop or preempt or resume:
                    self._move(plan, now)
                if pool.paused or (decode is not ALL and decode):
                    pool.set_decoding(decode)
                if prefill:
                    yield self._begin_prefill(plan, totals, now)
                    self._end_prefill(plan, clock.now)
                    continue
                if speculate:
                    yield self._begin_speculation(plan, now)
                    self._end_speculation(plan, clock.now)
                    continue
                if not (decode and pool.num_decodes):
                    if self._moving_time:
                        yield self._wait_for_moving(now)
                    elif not (drop or preempt or resume):
                        yield self._sleep(replan_at)
                        self._asleep = False
                    continue
            run = self._begin_decode(plan, now)
            yield self._wake
            while run.planned < run.longest and not self._event_seen:
                yield self._leap_on(run)  # what happened was nothing to this replica
            pool.advance(run.planned - run.told, clock.now)
            while not self._leap and self._goes_on(plan, run, clock.now):
                yield self._next_step(run)
                pool.advance(1, clock.now)
            self._end_decode(run, clock.now)
        self._record.close(clock.now)
        pool.close()

    def _move(self, plan: StepPlan, now: float) -> None:
        """Drop, preempt and resume as the checked `plan` says."""
        pool = self._pool
        for request_id, reason in plan.drop.items():
            self._end(pool.running.get(request_id) or pool.waiting[request_id], now, Status.DROPPED, reason)
        for request_id, how in plan.preempt.items():
            self._moving_time += pool.preempt(request_id, how, now)
        for request_id in plan.resume:
            self._moving_time += pool.resume(request_id, now)

    def _step_time(self, batch: Batch) -> float:
        """What the latency model says, if it is a duration. Raises ValueError naming the batch otherwise."""
        seconds = self._latency.step_time(batch)
        if not 0.0 < seconds < inf:
            raise ValueError(f"step_time is {seconds} s for {batch}")
        return seconds

    def _sleep(self, until: float | None) -> Event:
        """Wait for an event, or for the time at which the policy wants to be asked."""
        self._asleep = True
        self._wake = self._clock.unscheduled() if until is None else self._clock.at(until)
        return self._wake

    def _end(self, request: RequestState, now: float, status: Status = Status.FINISHED, reason: str = "") -> None:
        """`request` leaves the system now."""
        self._pool.remove(request)
        self._record.leave(request.id, now, status, reason)
        if self.drafts.num_drafted:
            self.drafts.forget(request.id)
        if self._listens:
            finished = status == Status.FINISHED
            self._policy.on_event(PolicyEvent("finish" if finished else "drop", now, request))
        if self._on_end is not None:
            self._on_end(request.id)

    # -- an iteration that prefills --------------------------------------------------------------------------

    def _begin_prefill(self, plan: StepPlan, totals: Prefill, now: float) -> Event:
        pool, kv = self._pool, self._kv
        tokens, context, pairs, blocks, _ = totals
        for request_id in plan.prefill:
            pool.start_prefill(request_id, now)
        kv.free -= blocks
        decodes = kv_tokens = needed = 0
        if plan.decode and pool.num_decodes:
            decodes, kv_tokens, needed = pool.num_decodes, pool.kv_tokens, kv.needed_next
        batch = _batch((tokens, context, pairs, decodes, kv_tokens, len(plan.prefill) + decodes))
        return self._one_iteration(now, batch, decodes, needed)

    def _one_iteration(self, now: float, batch: Batch, decodes: int, needed: int, more: float = 0.0) -> Event:
        """Record an iteration that begins now, a run of its own, with `needed` blocks to come; wait for its end.

        decodes: the requests of `batch` that decode. more: what it takes besides the step time, seconds.
        """
        duration = self._step_time(batch) + more
        if self._moving_time:
            duration += self._charge_moving()
        held = self._kv.num_blocks - self._kv.free + needed
        self._record.runs.append((now, 1, duration, 0.0, batch.prefill_tokens, decodes, batch.kv_tokens, held, held))
        self.num_iterations += 1
        return self._clock.again(self._wake, now + duration)

    def _end_prefill(self, plan: StepPlan, now: float) -> None:
        pool = self._pool
        if plan.decode and pool.num_decodes:
            pool.advance(1, now)
            for request in pool.due():
                self._end(request, now)
        for request_id, chunk in plan.prefill.items():
            request = pool.prefilling[request_id]
            request._cached += chunk
            if request not in self._cancelled and pool.end_prefill(request, now):
                self._end(request, now)

    # -- an iteration that verifies drafts --------------------------------------------------------------------

    def _begin_speculation(self, plan: StepPlan, now: float) -> Event:
        pool, kv, depths = self._pool, self._kv, plan.speculate
        blocks = blocks_to_verify(kv, pool.running, depths)
        decodes, kv_tokens = pool.num_decodes, pool.kv_tokens
        batch = Batch(0, 0, 0, decodes + sum(depths.values()), kv_tokens, decodes)
        drafting = max(depths.values()) * self.drafts.speculation.draft_step_time
        return self._one_iteration(now, batch, decodes, kv.needed_next + blocks, drafting)

    def _end_speculation(self, plan: StepPlan, now: float) -> None:
        pool = self._pool
        pool.advance(1, now)
        pool.accept(plan.speculate, self.drafts)
        for request in pool.due():
            self._end(request, now)

    # -- a run of iterations that only decode ----------------------------------------------------------------

    def _begin_decode(self, plan: StepPlan, now: float) -> StepRun:
        """Begin the run, which lasts while nothing can change in it (stepping: for its first step)."""
        pool, kv = self._pool, self._kv
        decodes, kv_tokens = pool.num_decodes, pool.kv_tokens
        blocks = kv.num_blocks - kv.free + kv.needed_next
        if self._run_latency is None:
            batch = Batch(0, 0, 0, decodes, kv_tokens, decodes)
            run = self._run = StepRun(now, self._step_time(batch), 0.0, blocks)
        else:
            first, growth = self._run_latency.decode_run(decodes, kv_tokens)
            if not (0.0 < first < inf and 0.0 <= growth < inf):
                raise ValueError(f"decode_run({decodes}, {kv_tokens}) is ({first}, {growth}) s")
            run = self._run = StepRun(now, first, growth, blocks)
            if self._leap and (plan is DECODE_ALL or not changes_more_than_decodes(plan)):
                run.longest = kv.steps_that_fit(pool.next_finish() - self.steps.step)
                if plan is not DECODE_ALL:
                    self._shorten(run, plan)
        if self._moving_time:
            run.first += self._charge_moving()
        self._leap_on(run)
        return run

    def _leap_on(self, run: StepRun) -> Event:
        """Wait for the end of the run, or for its first boundary at or after whatever happens next."""
        steps = run.longest
        end, something = run.boundary(steps), self._clock.next_time()
        if something < end and self._leap:
            steps = run.steps_until(something, steps)
            end = run.boundary(steps)
        run.planned = steps
        return self._clock.again(self._wake, end)

    def _wait_for_moving(self, now: float) -> Event:
        """Caches are moved and nothing runs meanwhile."""
        return self._clock.again(self._wake, now + self._charge_moving())

    def _charge_moving(self) -> float:
        """What moving caches to and from host memory adds to the iteration that begins now, seconds."""
        seconds, self._moving_time = self._moving_time, 0.0
        return seconds

    def _shorten(self, run: StepRun, plan: StepPlan) -> None:
        """Let the run, which lasts until a completion or a KV shortage, end when the policy wants to be asked again."""
        if plan.replan_after is not None:
            run.longest = min(run.longest, plan.replan_after)
        if plan.replan_at is not None:
            run.longest = run.steps_until(plan.replan_at, run.longest)

    def _goes_on(self, plan: StepPlan, run: StepRun, now: float) -> bool:
        """Whether the run goes on after this step: what a leap foresees, looked at when it has come."""
        if self._event_seen or self._run_latency is None or changes_more_than_decodes(plan):
            return False
        if self._pool.any_complete() or self._kv.needed_next > self._kv.free:
            return False
        if plan.replan_after is not None and run.planned >= plan.replan_after:
            return False
        if plan.replan_at is not None and now >= plan.replan_at:
            return False
        self._view.now = now
        self._view.iteration = self.num_iterations + run.planned
        self.num_plans += 1
        return same_plan(self._policy.plan(self._view), plan)

    def _next_step(self, run: StepRun) -> Event:
        run.planned += 1
        return self._clock.again(self._wake, run.boundary(run.planned))

    def _end_decode(self, run: StepRun, now: float) -> None:
        """Record the run as far as it went, and let go who is complete."""
        pool, kv, steps = self._pool, self._kv, run.planned
        self._run = None
        self.num_iterations += steps
        decodes = pool.num_decodes
        read = pool.kv_tokens - steps * decodes
        held = kv.num_blocks - kv.free
        self._record.runs.append((run.start, steps, run.first, run.growth, 0, decodes, read, run.blocks, held))
        if steps >= run.longest:  # nobody is complete before
            for request in pool.due():
                self._end(request, now)
