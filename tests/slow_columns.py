"""Every per-request column of a log, token by token."""

import math
from fractions import Fraction

import numpy as np

from simulator.metrics import SLO, User
from tests import slow_metrics
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED, Row

NAN = float("nan")


def reference_qoe(request: Row, user: User, log_end: float) -> float:
    s, t, status, end = request
    answer = [Fraction(x - s) for x in t], Fraction(1 if user.qoe.ttft is None else user.qoe.ttft), Fraction(user.speed)
    lines = user.qoe.version == "v1"
    if status == FAILED or (status == DROPPED and user.qoe.dropped == "zero"):
        return 0.0
    if status != FINISHED:
        end = Fraction((log_end if status == UNFINISHED else end) - s)
        return float(slow_metrics.qoe_areas(*answer, lines, end=end, asked=max(len(t), 1)))
    if len(t) == 1 and not lines:
        late = max(float(answer[0][0] - answer[1]), 0.0)
        return 1 - late / max(late, float(answer[1])) if late else 1.0
    return float(slow_metrics.qoe_areas(*answer, lines)) if t else NAN


def reference(request: Row, slo: SLO, user: User, log_end: float) -> dict[str, float]:
    """Every per-request metric, token by token."""
    s, t, status, end = request
    n = len(t)
    gaps = [t[i] - t[i - 1] for i in range(1, n)]
    origin = t[0] if user.origin == "first_token" and n else s
    idle = 0.0
    for i in range(1, n + 1):
        idle = max(idle, t[i - 1] - (origin + i / user.speed))
    gone = {"patience": s + user.patience, "ignore": -math.inf, "idle_until_drop": end}[user.abandonment]
    if status in (DROPPED, FAILED):
        idle = max(idle, gone - (origin + (n + 1) / user.speed))
    if status == UNFINISHED and user.abandonment != "ignore":
        idle = max(idle, log_end - (origin + (n + 1) / user.speed))
    finished = status == FINISHED and n > 0
    return {
        "num_tokens": n,
        "ttft": t[0] - s if n else NAN,
        "tpot": (t[-1] - t[0]) / (n - 1) if n > 1 else NAN,
        "e2e": t[-1] - s if finished else NAN,
        "normalised_latency": (t[-1] - s) / n if finished else NAN,
        "tbt_max": max(gaps, default=NAN),
        "tbt_p99": np.quantile(gaps, 0.99) if gaps else NAN,
        "slo_met": finished
        and t[0] <= s + slo.ttft
        and all(t[i] <= t[i - 1] + slo.tbt for i in range(1, n))
        and t[-1] <= t[0] + (n - 1) * slo.tpot
        and t[-1] <= s + slo.e2e
        and all(t[i - 1] <= s + i / slo.speed for i in range(1, n + 1)),
        "idle_latency": idle,
        "benefit": n - user.alpha * idle,
        "qoe": reference_qoe(request, user, log_end),
        **reference_counts(request, slo, user),
    }


def reference_counts(request: Row, slo: SLO, user: User) -> dict[str, float]:
    s, t, status, _ = request
    waited = [Fraction(x - s) for x in t]
    in_time = status == FINISHED and t and t[-1] <= s + slo.e2e
    return {
        "fluidity": float(slow_metrics.fluidity(waited, Fraction(slo.ttft), Fraction(slo.tbt))) if t else NAN,
        "effective_tokens": float(slow_metrics.effective_tokens(waited, Fraction(user.speed), max(len(t), 1))),
        "latency_class_tokens": sum(x <= s + slo.ttft + i * slo.tbt for i, x in enumerate(t, 1)),
        "deadline_class_tokens": len(t) if in_time else 0,
    }
