"""What judging costs: every metric of a synthetic log of a million answers of 200 tokens."""

from __future__ import annotations

from time import process_time

import numpy as np

from experiments.bench.cases import Case
from simulator.metrics import SLO, summary_values
from simulator.token_log import EventKind, Ints, RequestEvents, Segments, Status, StepRuns, TokenLog

TOKENS = 200
_STEPS = 4
"""Decode steps between two prefills: with 200 tokens a request, some 50 run at once."""
_EVERY_BOUND = SLO(ttft=1.0, tbt=0.1, tpot=0.05, e2e=10.0, speed=5.0)
"""No metric of the summary is undefined with it."""
_FEW = 10


def measure_scoring(case: Case) -> dict[str, float]:
    """CPU seconds that the summary of such a log takes, all metrics in it."""
    assert case.requests is not None
    summary_values(synthetic_log(_FEW), _EVERY_BOUND)
    log = synthetic_log(case.requests)
    start = process_time()
    summary_values(log, _EVERY_BOUND)
    cpu = process_time() - start
    return {"requests": log.num_requests, "output_tokens": log.num_requests * TOKENS, "cpu_s": cpu}


def synthetic_log(num_requests: int, seed: int = 1) -> TokenLog:
    """A log as the engine keeps one: a prefill a request, and a few decode steps of everybody between two of them.

    Each iteration takes a random time: 30 to 50 ms for a prefill, 12 to 16 ms for a decode step. Request i waits
    for its prefill for less than a second.
    """
    rng, request = np.random.default_rng(seed), np.arange(num_requests)
    runs = _runs(num_requests, rng)
    first_step = _STEPS * request
    arrival = np.sort(runs.start[::2] - rng.random(num_requests))
    ends = runs.decode_step_ends(0, int(runs.first_decode_step()[-1]))
    return TokenLog(
        arrival=arrival,
        prompt_length=np.full(num_requests, 512),
        output_length=np.full(num_requests, TOKENS),
        status=np.full(num_requests, int(Status.FINISHED)),
        end=ends[first_step + TOKENS - 2],
        reason=("",) * num_requests,
        request_class=np.zeros(num_requests, dtype=np.int64),
        class_names=("default",),
        client=np.full(num_requests, -1),
        window=float(arrival[-1] - arrival[0]),
        segments=Segments(
            request, runs.ends()[::2], first_step, np.full(num_requests, TOKENS - 1), np.ones_like(request)
        ),
        runs=runs,
        events=RequestEvents(runs.start[::2].copy(), request, np.full(num_requests, int(EventKind.ADMIT))),
        total_blocks=30_000,
    )


def _runs(num_requests: int, rng: np.random.Generator) -> StepRuns:
    """Prefill, decode, prefill, decode, …; the last decode run is as long as the last request needs."""
    num_steps = _alternating(np.ones(num_requests, dtype=np.int64), np.full(num_requests, _STEPS))
    num_steps[-1] = TOKENS
    prefill, decode = 0.03 + 0.02 * rng.random(num_requests), 0.012 + 0.004 * rng.random(num_requests)
    step_time = np.stack([prefill, decode], axis=1).ravel()
    durations = num_steps * step_time
    running = np.minimum(np.arange(1, num_requests + 1), TOKENS // _STEPS)
    nothing = np.zeros_like(running)
    decodes = _alternating(nothing, running)
    return StepRuns(
        start=1.0 + np.cumsum(durations) - durations,
        num_steps=num_steps,
        step_time=step_time,
        step_growth=np.zeros(2 * num_requests),
        prefill_tokens=_alternating(nothing + 512, nothing),
        num_decodes=decodes,
        kv_tokens=600 * decodes,
        kv_blocks=38 * decodes,
        kv_blocks_end=38 * decodes,
    )


def _alternating(first: Ints, second: Ints) -> Ints:
    return np.stack([first, second], axis=1).ravel()
