"""The engine set to be a counter that serves one at a time, which has a closed form: M/D/1."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from experiments.intervals import Interval, interval
from experiments.lessons.runs import poisson
from policies import make_policy
from simulator import EngineLimits, TokenLog, simulate
from simulator.latency import Batch, DecodeRun
from simulator.swap_space import HostLink

NUM_SEEDS, NUM_REQUESTS, WARM_UP = 8, 3000, 0.1
"""Replications, requests of each, and the share of these that are left out, since the counter starts empty."""


class Constant(NamedTuple):
    """A latency model whose iterations all take as long."""

    seconds: float

    def step_time(self, batch: Batch) -> float:
        """The same for every batch, seconds."""
        return self.seconds

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        """The same for every step."""
        return DecodeRun(self.seconds, 0.0)


class Counter(NamedTuple):
    """Hardware on which a request of one token takes a second, with memory for all of them."""

    name: str = "lesson/counter/tp1"
    latency: Constant = Constant(1.0)
    kv_capacity_tokens: int = 10**9
    host_link: HostLink | None = None


@lru_cache(maxsize=128)
def serve(utilisation: float, seed: int) -> TokenLog:
    """A run of the counter: one seat, each request takes 1 s, Poisson arrivals at `utilisation` requests/s.

    Runs of different utilisation share no random numbers, so that their errors are independent.
    """
    load = poisson(utilisation, (1, 1), num_requests=NUM_REQUESTS, seed=round(1000 * utilisation) * NUM_SEEDS + seed)
    return simulate(load, make_policy("fcfs"), Counter(), limits=EngineLimits(max_num_seqs=1))


@lru_cache(maxsize=32)
def simulated_wait(utilisation: float) -> Interval:
    """The mean time that a request waits before its service, with its 95 % interval over seeds, seconds."""
    first = int(WARM_UP * NUM_REQUESTS)
    logs = [serve(utilisation, seed) for seed in range(NUM_SEEDS)]
    return interval([float((log.end - log.arrival)[first:].mean()) - 1.0 for log in logs])


def exact_wait(utilisation: float) -> float:
    """The mean wait of M/D/1 in service times: ρ / (2·(1 − ρ)), the Pollaczek–Khinchine formula for equal services."""
    return utilisation / (2 * (1 - utilisation))
