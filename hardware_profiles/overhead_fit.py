"""Fits the presets of engine overhead to measured times of whole batches.

A batch of b requests with L prompt and L output tokens takes its prefill passes and L − 1 decode iterations; what
it takes beyond what the profile says, iteration by iteration, is q0 + q0_per_further_gpu·(TP − 1) + q1·q.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hardware_profiles.coefficients import Seconds, SecondsPerSequence
from hardware_profiles.datasheets import load_device, load_model, physical_bounds
from hardware_profiles.overhead import Overhead, OverheadErrors
from hardware_profiles.profile import Profile
from hardware_profiles.regression import Floats, least_relative_error
from simulator.latency import Batch, RunLatencyModel

PASS_TOKENS = 8192
"""Prompt tokens that one prefill pass takes, whole prompts (an engine's max_num_batched_tokens)."""


class WholeBatch(NamedTuple):
    """A measured batch of equal requests, input and output of the same length."""

    framework: str
    device: str
    model: str
    tp: int
    batch: int
    length: int
    latency: float
    """Seconds from the first prompt to the last token."""

    @property
    def pair(self) -> tuple[str, int, str]:
        """Device, TP degree and model."""
        return self.device, self.tp, self.model


class Passes(NamedTuple):
    """What a whole batch takes on a profile without overhead."""

    time: float
    iterations: int
    sequences: int
    """Requests of all iterations together."""


def read_whole_batches(path: Path) -> list[WholeBatch]:
    """The rows of a table of whole batches (gpu, n_gpus, framework, model, input_len, batch, batch_latency_s)."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            WholeBatch(
                row["framework"],
                row["gpu"] + "gb",
                row["model"],
                int(row["n_gpus"]),
                int(row["batch"]),
                int(row["input_len"]),
                float(row["batch_latency_s"]),
            )
            for row in csv.DictReader(file)
        ]


def passes(latency: RunLatencyModel, batch: int, length: int) -> Passes:
    """Prefill passes of whole prompts, then the decode iterations of `length` output tokens."""
    at_once = max(1, PASS_TOKENS // length)
    sizes = [min(at_once, batch - first) for first in range(0, batch, at_once)]
    pairs = length * (length + 1) // 2
    prefill = sum(latency.step_time(Batch(size * length, 0, size * pairs, 0, 0, size)) for size in sizes)
    run, steps = latency.decode_run(batch, batch * (length + 1)), length - 1
    decode = steps * run.first + run.growth * steps * (steps - 1) / 2
    return Passes(prefill + decode, len(sizes) + steps, batch * (1 + steps))


def usable(rows: Sequence[WholeBatch], profiles: Mapping[tuple[str, int, str], Profile]) -> list[WholeBatch]:
    """Rows with a profile whose KV cache holds the whole batch.

    A pair of which any row is faster than its weights can be read in every iteration is left out: its requests
    stopped before their length.
    """
    held = [r for r in rows if r.pair in profiles and 2 * r.batch * r.length <= profiles[r.pair].kv_capacity_tokens]
    impossible = {row.pair for row in held if row.latency < row.length * _weights_read(row)}
    return [row for row in held if row.pair not in impossible]


def fit_overhead(
    name: str, rows: Sequence[WholeBatch], profiles: Mapping[tuple[str, int, str], Profile], source: str
) -> Overhead:
    """The preset fitted to every other pair of `rows`, in order of device, TP and model; checked on the others."""
    pairs = sorted({row.pair for row in rows})
    seen = [row for row in rows if row.pair in pairs[::2]]
    unseen = [row for row in rows if row.pair in pairs[1::2]]
    known, design, measured = _terms(seen, profiles)
    solution = least_relative_error(design, measured, np.zeros(3), np.ones(len(seen)), known)
    q0, per_gpu, q1 = (float(f"{value:.3g}") for value in solution.coefficients)
    coefficients = np.array([q0, per_gpu, q1])
    return Overhead(
        name=name,
        q0=Seconds(value=q0),
        q0_per_further_gpu=Seconds(value=per_gpu),
        q1=SecondsPerSequence(value=q1),
        source=source,
        in_sample=_errors(seen, profiles, coefficients),
        out_of_sample=_errors(unseen, profiles, coefficients),
    )


def _weights_read(row: WholeBatch) -> float:
    return physical_bounds(load_device(row.device), load_model(row.model), row.tp).t0


def _terms(
    rows: Sequence[WholeBatch], profiles: Mapping[tuple[str, int, str], Profile]
) -> tuple[Floats, Floats, Floats]:
    """Time without overhead (num_rows,), what the coefficients are multiplied by (num_rows, 3), measured time."""
    taken = [passes(profiles[row.pair].latency, row.batch, row.length) for row in rows]
    iterations = np.array([p.iterations for p in taken], dtype=np.float64)
    further = np.array([row.tp - 1 for row in rows])
    sequences = np.array([p.sequences for p in taken], dtype=np.float64)
    design = np.column_stack([iterations, iterations * further, sequences])
    return np.array([p.time for p in taken]), design, np.array([row.latency for row in rows])


def _errors(
    rows: Sequence[WholeBatch], profiles: Mapping[tuple[str, int, str], Profile], coefficients: Floats
) -> OverheadErrors:
    known, design, measured = _terms(rows, profiles)
    return OverheadErrors(
        pairs=len({row.pair for row in rows}),
        rows=len(rows),
        without=round(float(100 * np.abs(known / measured - 1).mean()), 2),
        with_overhead=round(float(100 * np.abs((known + design @ coefficients) / measured - 1).mean()), 2),
    )
