"""The process that one case runs in: reads the case from its arguments, writes what it measured to stdout."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from experiments.bench.cases import LESSONS, SCORE, STARTUP, SWEEP, Case


def main() -> None:
    """Measure the case in sys.argv[1] and print a JSON object: what was found, or {"error": …} for wrong input."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the process that started this one says what there is to say
    case = Case.model_validate_json(sys.argv[1])
    try:
        values = _measure(case)(case)
    except (ValueError, OSError) as error:
        print(json.dumps({"error": str(error)}))
    else:
        print(json.dumps(values | (_peak_memory() if "cpu_s" in values else {})))


def _measure(case: Case) -> Callable[[Case], dict[str, float]]:
    if case.workload == SCORE:
        from experiments.bench.scoring import measure_scoring

        return measure_scoring
    if case.workload == LESSONS:
        from experiments.lessons.browser import measure_lesson

        return lambda lesson: measure_lesson(lesson.policy)
    if case.workload in (STARTUP, SWEEP):
        from experiments.bench.clock import measure_startup, measure_sweep

        return measure_startup if case.workload == STARTUP else measure_sweep
    from experiments.bench.measure import measure_run

    return measure_run


def _peak_memory() -> dict[str, float]:
    """Most memory that this process had resident, bytes; nothing where the system does not say.

    Linux hands ru_maxrss down from whoever started the process, so there it is VmHWM, which starts anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = (line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines())
        return {"peak_rss_bytes": 1024 * int(next(line[1] for line in lines if line[0] == "VmHWM:"))}
    try:
        from resource import RUSAGE_SELF, getrusage
    except ModuleNotFoundError:
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_rss_bytes": unit * getrusage(RUSAGE_SELF).ru_maxrss}


if __name__ == "__main__":
    main()
