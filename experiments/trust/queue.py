"""The engine set to be a queue: Poisson arrivals, no KV limit, a step time that depends on the batch's size alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.intervals import Interval, interval
from experiments.trust.formulas import step_chain
from policies import make_policy
from simulator import Batch, DecodeRun, EngineLimits, EventKind, TokenLog, simulate
from simulator.workload import FixedLengths, GeometricLengths, PoissonArrivals, synthetic_workload

STEP = 1.0 / 64
"""Duration of an iteration with one request, seconds."""
WARM_UP = 0.1
"""Share of the requests, the first ones, that are not counted."""
ROOMY = 10**9

Shape = Callable[[int], float]
"""How long an iteration with n requests takes, in iterations with one."""
DELAY = "delay"
"""Name of the mean sojourn less what the request takes alone: it varies less where nobody waits for long."""
Means = Mapping[str, Interval]


@dataclass(frozen=True)
class BatchLatency:
    """An iteration with n requests takes step·shape(n) seconds, whatever it does with them."""

    step: float
    shape: Shape

    def step_time(self, batch: Batch) -> float:
        """Seconds, by the number of requests alone."""
        return self.step * self.shape(batch.num_requests)

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        """The same for every step of the run."""
        return DecodeRun(self.step * self.shape(num_decodes), 0.0)


@dataclass(frozen=True)
class Server:
    """Hardware with a cache that never fills."""

    latency: BatchLatency
    kv_capacity_tokens: int = ROOMY
    name: str = "queue"


@dataclass(frozen=True)
class Queue:
    """A queue: how the engine is set to be it, and the means that theory gives it."""

    policy: str
    limits: EngineLimits
    shape: Shape
    lengths: FixedLengths | GeometricLengths
    load: float
    """Arrival rate × mean service time / speed."""
    closed_forms: Mapping[str, Callable[[float, float], float]]
    """Means of sojourn or wait, by name, from the mean service time and the load, seconds."""
    allowance: float
    """Boundary wait that theory does not know of, in steps of one request: at most the longest step."""
    num_requests: int
    num_seeds: int = 12
    speed: float = 1.0
    """Requests served in a mean service time when all seats are taken."""

    @property
    def mean_output(self) -> float:
        """Mean output length, tokens."""
        return self.lengths.output if isinstance(self.lengths, FixedLengths) else self.lengths.mean_output

    @property
    def mean_service(self) -> float:
        """Mean service time of a request alone, seconds."""
        return STEP * self.mean_output

    def arrival_rate(self, load: float | None = None) -> float:
        """Requests/s at this load, the queue's own if none is given."""
        return (self.load if load is None else load) * self.speed / self.mean_service

    def theory(self, load: float | None = None) -> dict[str, float]:
        """What the closed forms give at this load, seconds."""
        rho = self.load if load is None else load
        return {name: form(self.mean_service, rho) for name, form in self.closed_forms.items()}

    def in_steps(self, load: float | None = None) -> float:
        """Mean sojourn by the chain of steps, boundary waits included, seconds; for geometric lengths."""
        seats = self.limits.max_num_seqs
        return step_chain(self.arrival_rate(load), lambda n: STEP * self.shape(n), seats, self.mean_output)

    def simulated(self, step: float = STEP, load: float | None = None, num_requests: int | None = None) -> Means:
        """The same means, and the delay, from the engine over seeds, seconds: arrivals of this load, such a step."""
        means = [self._means(log, step) for log in self._runs(step, load, num_requests or self.num_requests)]
        return {name: interval([run[name] for run in means]) for name in means[0]}

    def _runs(self, step: float, load: float | None, num_requests: int) -> Iterator[TokenLog]:
        arrivals = PoissonArrivals(self.arrival_rate(load))
        server = Server(BatchLatency(step, self.shape))
        for seed in range(self.num_seeds):
            requests = synthetic_workload(arrivals, self.lengths, num_requests=num_requests, seed=seed)
            yield simulate(requests, make_policy(self.policy), server, limits=self.limits)

    def _means(self, log: TokenLog, step: float) -> dict[str, float]:
        sojourn = log.end - log.arrival
        times = {"sojourn": sojourn, DELAY: sojourn - step * log.output_length, "wait": _waits(log)}
        first = int(WARM_UP * log.num_requests)
        return {name: float(np.mean(times[name][first:])) for name in (*self.closed_forms, DELAY)}

    def agrees(self, simulated: Interval, theory: float) -> bool:
        """Whether theory lies in the interval, or below it by no more than the allowance."""
        mean, half_width = simulated
        return -half_width <= mean - theory <= half_width + self.allowance * STEP


def _waits(log: TokenLog) -> npt.NDArray[np.float64]:
    """From arrival to the first prefill; nobody is preempted."""
    assert log.events is not None
    waits = np.empty(log.num_requests)
    admitted = log.events.kind == EventKind.ADMIT
    waits[log.events.request[admitted]] = log.events.time[admitted]
    return waits - log.arrival
