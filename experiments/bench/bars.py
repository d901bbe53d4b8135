"""The bars: what a figure has to reach, or must not exceed, on one core of an ordinary machine."""

from __future__ import annotations

from experiments.bench.cases import LESSONS, SCORE, STARTUP, SWEEP, Case
from experiments.capacity.conditions import Bound

_FASTEST = "requests_per_cpu_s"
_RATE = {"fcfs": 50_000, "chunked_prefill": 30_000}
"""Requests per CPU second at light and medium load. The fastest public simulator, whose core is compiled, makes
14,000 to 16,000 on such machines."""
_MILLION = (
    Bound("cost_ratio", True, 11.0),
    Bound("cost_ratio_with_summary", True, 11.0),
    Bound("peak_rss_bytes", True, 600e6),
)
_SCORING = (Bound("cpu_s", True, 60.0), Bound("peak_rss_bytes", True, 1.5e9))
_LESSON = (Bound("first_picture_s", True, 5.0), Bound("slider_s", True, 1.5))
_BY_THE_CLOCK = {
    "--help": (Bound("wall_s", True, 0.3),),
    "compare": (Bound("first_progress_s", True, 1.5), Bound("wall_s", True, 20.0)),
}


def bars(case: Case) -> tuple[Bound, ...]:
    """Every bar that the case is held to; none for what is only reported."""
    policy = case.policy.partition(":")[0]
    if case.workload in ("f6", "c5", "c1"):
        rate = (Bound(_FASTEST, False, _RATE[policy]),) if policy in _RATE else ()
        return rate + (_MILLION if case.requests == 1_000_000 else ())
    if case.workload in ("andes", "policies"):
        return (Bound(_FASTEST, False, 2_000 if policy == "andes" else 5_000),)
    if case.workload == "overload":
        return (Bound("cost_ratio", True, 1.5),)
    if case.workload == SCORE:
        return _SCORING if case.requests == 1_000_000 else ()
    if case.workload == LESSONS:
        return _LESSON
    if case.workload == SWEEP:
        return (Bound("speed_up", False, 1.8),)
    return _BY_THE_CLOCK.get(case.policy, ()) if case.workload == STARTUP else ()


def spelled(bar: Bound) -> str:
    """The bar as a condition on a row, such as "requests_per_cpu_s>=50000"."""
    return f"{bar.metric}{'<=' if bar.at_most else '>='}{bar.value:.12g}"
