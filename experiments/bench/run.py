"""Runs the cases of a benchmark, each in a process of its own, one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from experiments.bench.cases import Case
from experiments.bench.rows import BenchRow, Values, bench_rows


def run_bench(
    cases: Sequence[Case], repeat: int = 1, on_progress: Callable[[float], None] | None = None
) -> list[BenchRow]:
    """A row for each case, the best of `repeat` rounds; a round is once through all cases, so that a while in which
    the machine is busy does not hit one case alone.

    on_progress: told how many measurements are done. Raises ValueError for what the case's process calls wrong
    input, ChildProcessError if that process dies.
    """
    measured: dict[Case, list[Values]] = {case: [] for case in cases}
    for done in range(repeat * len(cases)):
        case = cases[done % len(cases)]
        measured[case].append(measure_apart(case))
        if on_progress is not None:
            on_progress(done + 1)
    return bench_rows(measured)


def measure_apart(case: Case) -> Values:
    """What a fresh process measures of the case: its peak memory is then the case's own."""
    command = [sys.executable, "-P", "-m", "experiments.bench.child", case.model_dump_json()]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise ChildProcessError(f"{case.name}: its process ended with code {ended.returncode}")
    values: dict[str, Any] = json.loads(ended.stdout)
    if "error" in values:
        raise ValueError(f"{case.name}: {values['error']}")
    return values
