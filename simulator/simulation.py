"""One run: a workload, a policy, a piece of hardware; out comes a token log."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from math import inf, nextafter
from typing import Literal, Protocol, get_args

import numpy as np

from simulator.clock import URGENT, Clock, Event
from simulator.latency import Batch, LatencyModel
from simulator.policy import EngineLimits, OraclePolicy, SchedulerPolicy
from simulator.recorder import Recorder
from simulator.replica import Replica
from simulator.request import RequestState
from simulator.token_log import Status, TokenLog
from simulator.workload.workload import Workload

Oversize = Literal["refuse", "reject"]
_PROGRESS_EVERY = 1000
_ROWS = 4096
"""Requests whose columns are turned into Python numbers at a time."""


class Hardware(Protocol):
    """What the engine needs to know of a hardware profile."""

    @property
    def name(self) -> str:
        """Name to record."""

    @property
    def latency(self) -> LatencyModel:
        """Durations of iterations."""

    @property
    def kv_capacity_tokens(self) -> int:
        """Tokens that the KV cache holds."""

    # `host_link: HostLink | None` is read if it is there; without it nothing can be swapped.


class OversizeRequest(ValueError):
    """A request of the workload can never fit into the KV cache or the model's context."""


def simulate(
    workload: Workload,
    policy: SchedulerPolicy,
    profile: Hardware,
    *,
    limits: EngineLimits | None = None,
    seed: int = 0,
    leap: bool = True,
    max_concurrency: int | None = None,
    oversize: Oversize = "refuse",
    until: float | None = None,
    predict_step_time: Callable[[Batch], float] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TokenLog:
    """Run `workload` through one replica of `profile` under `policy` until it is drained.

    max_concurrency: closed-loop clients, as the load tools have it: a request is submitted when its arrival time
        has come and fewer than so many are in the system; the log's arrival is the time of submission.
    oversize: a request that can never fit (prompt + output over the blocks less the watermark, or over
        `max_model_len`) stops the run before it starts with `OversizeRequest`, or is counted as rejected: it
        fails on arrival with the reason "oversize".
    until: stop at the first boundary at or after this time, seconds; arrivals from then on are left out of the log
        and whoever is in the system stays unfinished.
    leap: whether to leap over runs of decode steps; without, every iteration is taken by itself, for the same log.
    predict_step_time: what the policy sees of the latency model instead of the truth.
    on_progress: called now and then with the number of requests that have ended.

    The engine itself draws nothing but, from `seed`, which drafted tokens are accepted. Raises `InvalidPlan` if the
    policy asks for what cannot be, ValueError for a capacity that holds nothing or a concurrency below 1.
    """
    limits = limits or EngineLimits()
    num_blocks = profile.kv_capacity_tokens // limits.block_size
    oversized = _oversized(workload, profile, limits, num_blocks, oversize)
    if oversize not in get_args(Oversize):
        raise ValueError(f"oversize {oversize!r} is not one of {', '.join(get_args(Oversize))}")
    if until is not None and not 0.0 <= until < inf:
        raise ValueError(f"until {until} s is not a time")
    if max_concurrency is not None and max_concurrency < 1:
        raise ValueError(f"max_concurrency {max_concurrency} is below 1")
    clock = Clock()
    recorder = Recorder(len(workload))
    client = _Client(clock, workload, recorder, oversized, max_concurrency, on_progress)
    if isinstance(policy, OraclePolicy):
        policy.foresee(workload.output_length.tolist())
    replica = Replica(
        clock,
        policy,
        profile.latency,
        num_blocks,
        limits,
        array("q", workload.output_length.astype(np.int64).tobytes()),
        recorder,
        seed=seed,
        host_link=getattr(profile, "host_link", None),
        leap=leap,
        on_end=None if max_concurrency is None and on_progress is None else client.ended,
        predict_step_time=predict_step_time,
    )
    client.start(replica, until)
    clock.run()
    meta = {
        "policy": policy.spec,
        "profile": profile.name,
        "workload": workload.name,
        "seed": seed,
        "limits": limits.model_dump(),
        "max_concurrency": max_concurrency,
        "oversize": oversize,
        "until": until,
    }
    counters = {
        "num_plans": replica.num_plans,
        "num_iterations": replica.num_iterations,
        "number_in_system_integral": recorder.number_in_system_integral,
        **policy.counters(),
        "num_drafted_tokens": replica.drafts.num_drafted,
        "num_accepted_tokens": replica.drafts.num_accepted,
    }
    return recorder.log(workload, num_blocks, meta, counters)


def _oversized(
    workload: Workload, profile: Hardware, limits: EngineLimits, num_blocks: int, oversize: Oversize
) -> frozenset[int]:
    """Ids of the requests that can never fit; raises for the first of them unless they are to be rejected."""
    usable = num_blocks - int(limits.watermark * num_blocks)
    if usable < 1:
        raise ValueError(f"profile {profile.name}: {profile.kv_capacity_tokens} tokens of KV cache hold no block")
    capacity = usable * limits.block_size
    longest = capacity if limits.max_model_len is None else min(capacity, limits.max_model_len)
    ids = np.flatnonzero(workload.prompt_length + workload.output_length > longest)
    if len(ids) and oversize == "refuse":
        i = int(ids[0])
        bound = f"max_model_len {longest}" if longest < capacity else f"the {longest} tokens that the KV cache can give"
        raise OversizeRequest(
            f"workload {workload.name}: {workload.where(i)}: prompt {workload.prompt_length[i]} + output "
            f"{workload.output_length[i]} tokens never fit into {bound} ({profile.name}); {len(ids)} such "
            f"request{'s' if len(ids) > 1 else ''} in all"
        )
    return frozenset(ids.tolist())


def _rows(load: Workload) -> Iterator[tuple[float, int, int, int, float, float, float]]:
    """The columns that make a `RequestState`, a row a request; only a few rows are Python objects at a time."""
    columns = (
        load.arrival,
        load.prompt_length,
        load.request_class,
        load.client,
        load.expected_ttft,
        load.speed,
        load.predicted_output_length,
    )
    for first in range(0, len(load), _ROWS):
        yield from zip(*(column[first : first + _ROWS].tolist() for column in columns), strict=True)


class _Client:
    """Sends the requests of a workload at their times, or when there is room among its concurrent ones."""

    def __init__(
        self,
        clock: Clock,
        workload: Workload,
        recorder: Recorder,
        oversized: frozenset[int],
        max_concurrency: int | None,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._clock = clock
        self._workload = workload
        self._record = recorder
        self._oversized = oversized
        self._free_places = max_concurrency
        self._held: deque[RequestState] = deque()
        self._on_progress = on_progress
        self._stopped = False
        self._patience = workload.patience if np.isfinite(workload.patience).any() else None

    def start(self, replica: Replica, until: float | None) -> None:
        self._replica = replica
        self._clock.drive(self._arrivals())
        if until is not None:
            self._clock.at(until, URGENT).callbacks.append(self._stop)

    def _stop(self, _: Event) -> None:
        self._stopped = True
        self._replica.close()

    def _arrivals(self) -> Generator[Event, None, None]:
        load = self._workload
        names, slos, clock = load.class_names, load.class_slos, self._replica.steps
        at, due, send = self._clock.again, self._clock.unscheduled(), self._sender()
        for request_id, (arrival, prompt, i, client, expected_ttft, speed, predicted) in enumerate(_rows(load)):
            yield at(due, arrival, URGENT)
            if self._stopped:
                return
            send(
                RequestState(
                    request_id, arrival, prompt, clock, names[i], client, slos[i], expected_ttft, speed, predicted
                )
            )

    def _sender(self) -> Callable[[RequestState], None]:
        """What to do with a request whose time has come: the shortest way that there is for this workload."""
        if self._free_places is not None:
            return self._offer
        if self._patience is not None or self._oversized or self._on_progress is not None:
            return self._send
        return self._replica.submit

    def _offer(self, request: RequestState) -> None:
        """Send `request` now, or when there is a place for it."""
        if self._free_places and not self._held:
            self._send(request)
        else:
            self._held.append(request)

    def _send(self, request: RequestState) -> None:
        now = request.arrival = self._clock.now
        if request.id in self._oversized:
            self._record.arrive(request.id, now)
            self._record.leave(request.id, now, Status.FAILED, "oversize")
            self._tell_progress()
            return
        if self._free_places is not None:
            self._free_places -= 1
        self._replica.submit(request)
        if self._patience is not None and (patience := float(self._patience[request.id])) < inf:
            too_late = nextafter(now + patience, inf)  # a token at the very end of it is in time
            self._clock.at(too_late, URGENT).callbacks.append(lambda _: self._give_up(request))

    def _give_up(self, request: RequestState) -> None:
        """The user of `request` leaves, unless there is a token to read by now or the request has ended."""
        if request.num_generated_tokens == 0 and not self._record.has_ended(request.id):
            self._replica.cancel(request)

    def _tell_progress(self) -> None:
        if self._on_progress is not None and self._record.num_ended % _PROGRESS_EVERY == 0:
            self._on_progress(self._record.num_ended)

    def ended(self, request_id: int) -> None:
        """A request has left the system."""
        self._tell_progress()
        if self._free_places is not None:
            self._free_places += 1
            while self._held and self._free_places and not self._stopped:
                self._send(self._held.popleft())
