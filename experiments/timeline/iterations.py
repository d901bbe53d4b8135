"""What the GPU did in a stretch of a run: its iterations one by one, and the gaps in which it stood idle."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from math import isfinite

import numpy as np

from simulator.metrics.periods import last_event
from simulator.token_log import Floats, Ints, StepRuns, TokenLog


class Kind(IntEnum):
    """What an iteration computes."""

    PREFILL = 0
    CHUNK = 1
    """Prefill tokens and decodes in one batch."""
    DECODE = 2
    """Decodes alone, the verification of drafted tokens included: the log does not tell them apart."""


@dataclass(frozen=True, eq=False)
class Iterations:
    """Iterations in order of time. All arrays are (n,).

    start, end: seconds; what a swap adds to an iteration is part of it. kind: of `Kind`. prefill_tokens, num_decodes:
    of the batch. kv_blocks: held during it; the log has the first and the last iteration of a run, between which
    the blocks are spread evenly here, rounded down.
    """

    start: Floats
    end: Floats
    kind: Ints
    prefill_tokens: Ints
    num_decodes: Ints
    kv_blocks: Ints

    def __len__(self) -> int:
        return len(self.start)


def iterations(log: TokenLog, start: float, end: float) -> Iterations:
    """The iterations that run at some time in [start, end), whole; leaps are expanded there alone.

    Raises ValueError like `check_window`.
    """
    runs = check_window(log, start, end)
    shown = np.flatnonzero((runs.start < end) & (runs.ends() > start))
    counts = runs.num_steps[shown]
    run = np.repeat(shown, counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    before, after = boundaries(runs, run, step - 1), boundaries(runs, run, step)
    inside = (before < end) & (after > start)
    run, step, before, after = run[inside], step[inside], before[inside], after[inside]
    prefill, decodes = runs.prefill_tokens[run], runs.num_decodes[run]
    kind = np.where(prefill == 0, Kind.DECODE, np.where(decodes == 0, Kind.PREFILL, Kind.CHUNK)).astype(np.int64)
    first, last = runs.kv_blocks[run], runs.kv_blocks_end[run]
    blocks = first + (last - first) * (step - 1) // np.maximum(runs.num_steps[run] - 1, 1)
    return Iterations(before, after, kind, prefill, decodes, blocks)


def idle_gaps(blocks: Iterations, start: float, end: float) -> tuple[Floats, Floats]:
    """Starts and ends of the stretches of [start, end) in which none of `blocks` runs, seconds, (num_gaps,) each."""
    gap_start = np.concatenate(([start], blocks.end))
    gap_end = np.concatenate((blocks.start, [end]))
    some = gap_end > gap_start
    return gap_start[some], gap_end[some]


def boundaries(runs: StepRuns, run: Ints, step: Ints) -> Floats:
    """When iteration `step` of each `run` ended, seconds, (n,); step 0: when the run began.

    It is the end of the run as if it were cut there, so equal to the engine's boundary to the last bit.
    """
    rows = {field.name: getattr(runs, field.name)[run] for field in fields(runs)}
    return StepRuns(**{**rows, "num_steps": step}).ends()


def check_window(log: TokenLog, start: float, end: float) -> StepRuns:
    """The runs of iterations of `log`.

    Raises ValueError, with one line, if it has none (it was measured, or nothing was ever served), or if
    [start, end) is no stretch of time or lies outside of the run.
    """
    if log.runs is None or log.segments is None or log.events is None:
        raise ValueError("a measured run does not record its iterations: only a simulated one has a timeline")
    if not len(log.runs.start):
        raise ValueError("the run has no iteration, so there is no timeline to show")
    if not (isfinite(start) and isfinite(end) and start < end):
        raise ValueError(f"from {start:g} s to {end:g} s is no stretch of time")
    first, last = float(log.arrival[0]), last_event(log)
    if end <= first or start >= last:
        raise ValueError(f"from {start:g} s to {end:g} s nothing happens: the run goes from {first:g} s to {last:g} s")
    return log.runs
