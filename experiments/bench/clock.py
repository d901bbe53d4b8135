"""What people wait for, by the clock: the command's start, the default study, and what a second worker gains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from experiments.bench.cases import Case
from experiments.bench.loads import CAPACITY, PROFILE

_COMMAND = [sys.executable, "-P", "-c", "from experiments.cli import main; main()"]
_NUM_SEEDS = 16


def measure_startup(case: Case) -> dict[str, float]:
    """Seconds that the command takes, and, unless it only shows help, until its first line of progress.

    It has run once before, so that its modules are compiled and in the page cache.
    """
    subprocess.run([*_COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    with TemporaryDirectory() as folder:
        start = monotonic()
        with subprocess.Popen(
            [*_COMMAND, case.policy], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()
            first_line = monotonic() - start
            process.stderr.read()
        wall = monotonic() - start
    if process.returncode:
        raise ChildProcessError(f"smoothserve {case.policy} ended with exit code {process.returncode}")
    return {"wall_s": wall} | ({} if case.policy == "--help" else {"first_progress_s": first_line})


def measure_sweep(case: Case) -> dict[str, float]:
    """How many times as fast two workers are as one, on a sweep of 32 equal cells."""
    one, two = (_sweep_seconds(case, jobs) for jobs in (1, 2))
    return {"wall_s": two, "speed_up": one / two}


def _sweep_seconds(case: Case, jobs: int) -> float:
    from experiments.sweep.grid import make_grid
    from experiments.sweep.run import run_sweep

    grid = {
        "workload": {"lengths": "azure-conv"},
        "rates": [CAPACITY / 2],
        "requests": case.requests,
        "profile": PROFILE,
        "policies": ["fcfs", "chunked_prefill"],
        "seeds": _NUM_SEEDS,
    }
    with TemporaryDirectory() as folder:
        start = monotonic()
        done = run_sweep(make_grid(grid, "the sweep of the benchmark"), Path(folder) / "sweep", jobs=jobs)
        seconds = monotonic() - start
    if done.failed:
        raise ChildProcessError(f"{len(done.failed)} of {done.num_cells} cells of the sweep failed")
    return seconds
