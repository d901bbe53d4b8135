"""fcfs and chunked_prefill do, token for token, what a second and naive implementation of them does.

Every duration is a whole number of ticks and a tick is a power of two, so that nothing is rounded: the two agree with
==, in token times and in who was admitted, preempted and resumed when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from policies import make_policy
from simulator import Batch, DecodeRun, EngineLimits, EventKind, simulate
from simulator.workload import Workload
from tests.naive_schedulers import Job, NaiveChunkedPrefill, NaiveFcfs, NaiveServer, Rules
from tests.support import Machine, check_invariants

TICK = 1.0 / 1024
NUM_CASES = 4_000
WORDS = {EventKind.ADMIT: "admit", EventKind.PREEMPT_RECOMPUTE: "preempt", EventKind.RESUME: "resume"}
SCHEDULERS: dict[str, type[NaiveServer]] = {"fcfs": NaiveFcfs, "chunked_prefill": NaiveChunkedPrefill}

Outcome = tuple[list[list[int]], list[tuple[int, int, str]]]
"""Token times in ticks of each request; (tick, request, what happened) in order."""


@dataclass(frozen=True)
class Ticks:
    """The latency model of `rules`, as the engine asks for it."""

    rules: Rules

    def step_time(self, batch: Batch) -> float:
        tokens = self.rules.per_token * (batch.prefill_tokens + batch.num_decodes)
        others = self.rules.per_cached * batch.kv_tokens + self.rules.per_request * batch.num_requests
        return TICK * (self.rules.base + tokens + others)


class TicksOfRuns(Ticks):
    """The same with a closed form, so that the engine leaps."""

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        first = self.step_time(Batch(num_decodes=num_decodes, kv_tokens=kv_tokens, num_requests=num_decodes))
        return DecodeRun(first, TICK * self.rules.per_cached * num_decodes)


@dataclass(frozen=True)
class Case:
    rules: Rules
    watermark: float
    arrival: list[int]
    prompt: list[int]
    output: list[int]
    leaps: bool

    def jobs(self) -> list[Job]:
        columns = zip(self.arrival, self.prompt, self.output, strict=True)
        return [Job(i, *row) for i, row in enumerate(columns)]


def case(seed: int) -> Case:
    """A few requests that often come together, on a server that is too small for them in one way or another."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 13))
    gaps = rng.integers(0, rng.choice([1, 60, 400]), n) * (rng.random(n) < 0.7)
    prompt, output = rng.integers(1, rng.choice([8, 40]), n), rng.integers(1, rng.choice([4, 40]), n)
    block_size, watermark = int(rng.choice([1, 2, 4, 16])), float(rng.choice([0.0, 0.01, 0.1, 0.3]))
    num_blocks = -(-int((prompt + output).max()) // block_size)
    needed = num_blocks
    num_blocks += int(rng.integers(0, rng.choice([2, 8, 60])))
    while num_blocks - int(watermark * num_blocks) < needed:
        num_blocks += 1
    max_num_seqs = int(rng.choice([1, 2, 3, 6, 20]))
    rules = Rules(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_seqs + int(rng.choice([0, 3, 12, 50, 500])),
        num_blocks=num_blocks,
        block_size=block_size,
        watermark_blocks=int(watermark * num_blocks),
        token_budget=int(rng.choice([1, 4, 9, 24, 100])),
        base=int(rng.integers(1, 30)),
        per_token=int(rng.integers(0, 3)),
        per_cached=int(rng.integers(0, 2)),
        per_request=int(rng.integers(0, 4)),
    )
    return Case(rules, watermark, np.cumsum(gaps).tolist(), prompt.tolist(), output.tolist(), leaps=seed % 4 > 0)


def by_engine(case: Case, scheduler: str) -> Outcome:
    rules = case.rules
    limits = EngineLimits(
        max_num_seqs=rules.max_num_seqs,
        max_num_batched_tokens=rules.max_num_batched_tokens,
        block_size=rules.block_size,
        watermark=case.watermark,
    )
    spec = scheduler if scheduler == "fcfs" else f"{scheduler}:token_budget={rules.token_budget}"
    load = Workload("random", TICK * np.array(case.arrival), np.array(case.prompt), np.array(case.output))
    latency = TicksOfRuns(rules) if case.leaps else Ticks(rules)
    machine = Machine(latency, rules.num_blocks * rules.block_size)
    log = simulate(load, make_policy(spec), machine, limits=limits)
    check_invariants(log, limits)
    assert log.events is not None
    times, offsets = log.token_times()
    events = zip((log.events.time / TICK).tolist(), log.events.request.tolist(), log.events.kind, strict=True)
    return [(times[a:b] / TICK).tolist() for a, b in pairwise(offsets)], [(t, i, WORDS[kind]) for t, i, kind in events]


def by(naive: type[NaiveServer], case: Case) -> tuple[Outcome, NaiveServer]:
    jobs = case.jobs()
    server = naive(case.rules, jobs)
    server.run()
    return ([job.times for job in jobs], server.events), server


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_engine_gives_the_log_of_the_naive_scheduler(scheduler: str) -> None:
    seen = dict.fromkeys(("preempted", "short of blocks", "over the batch", "together", "crowded"), 0)
    for seed in range(NUM_CASES):
        random = case(seed)
        expected, server = by(SCHEDULERS[scheduler], random)
        assert by_engine(random, scheduler) == expected, f"case {seed}: {random}"
        seen["preempted"] += any(what == "preempt" for _, _, what in server.events)
        seen["short of blocks"] += server.waited_for_blocks
        seen["over the batch"] += max(random.prompt) > random.rules.max_num_batched_tokens
        seen["together"] += len(set(random.arrival)) < len(random.arrival)
        seen["crowded"] += random.rules.max_num_seqs < len(random.arrival)
    assert min(seen.values()) > NUM_CASES / 10, seen


class LastComeFirst(NaiveServer):
    def first_of_queue(self) -> Job:
        return self.waiting[-1]


class NoWatermark(NaiveServer):
    def reserve(self) -> int:
        return 0


class FirstOutIsTheFirst(NaiveServer):
    def victim(self) -> Job:
        return self.running[0]


class BackOfTheQueue(NaiveServer):
    def make_room(self) -> bool:
        if before := super().make_room():
            self.waiting.append(self.waiting.pop(0))
        return before


class ABlockTooMany(NaiveServer):
    def blocks(self, tokens: int) -> int:
        return tokens // self.rules.block_size + 1 if tokens else 0


class LastTokenTooLate(NaiveServer):
    def iterate(self, chunks: list[tuple[Job, int]], decodes: list[Job]) -> None:
        super().iterate(chunks, decodes)
        for job in decodes:
            if len(job.times) == job.output:
                job.times[-1] += 1


class SpendsATokenMore(NaiveChunkedPrefill):
    def __init__(self, rules: Rules, jobs: list[Job]) -> None:
        super().__init__(replace(rules, token_budget=rules.token_budget + 1), jobs)


class DecodesFirst(NaiveFcfs):
    def next_batch(self) -> tuple[list[tuple[Job, int]], list[Job]]:
        if not self.decoding():
            return super().next_batch()
        self.make_room()
        return [], self.decoding()


WRONG = (LastComeFirst, NoWatermark, FirstOutIsTheFirst, BackOfTheQueue, ABlockTooMany, LastTokenTooLate)
VARIANTS = [
    type(f"{wrong.__name__}{right.__name__}", (wrong, right), {}) for wrong in WRONG for right in SCHEDULERS.values()
]


@pytest.mark.parametrize("variant", [*VARIANTS, SpendsATokenMore, DecodesFirst], ids=lambda each: each.__name__)
def test_a_scheduler_that_is_slightly_wrong_is_told_apart(variant: type[NaiveServer]) -> None:
    scheduler = next(name for name, right in SCHEDULERS.items() if issubclass(variant, right))
    assert any(by_engine(case(seed), scheduler) != by(variant, case(seed))[0] for seed in range(NUM_CASES))
