"""One row per run: every metric of a log, by name (README.md here says what each is)."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from simulator.metrics import replica
from simulator.metrics.andes_qoe import GOOD as GOOD_QOE
from simulator.metrics.andes_qoe import PERFECT as PERFECT_QOE
from simulator.metrics.fluidity import FLUID
from simulator.metrics.gap_sample import GapSample
from simulator.metrics.per_request import Columns, SLOs, request_columns
from simulator.metrics.periods import arrival_rate, per_second, span
from simulator.metrics.ragged import Bools
from simulator.metrics.slo import (
    goodput_requests,
    goodput_tokens,
    slo_attainment,
    slo_attainment_completed,
)
from simulator.metrics.smooth_goodput import smooth_goodput
from simulator.metrics.user import User
from simulator.metrics.warmup import user_without_warmup, without_warmup
from simulator.token_log import Floats, Status, TokenLog

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
LOW_QUANTILES = {"p50": 0.5, "p10": 0.1, "p1": 0.01}
"""Of scores, whose bad end is the low one."""
_NAN = float("nan")


def summarize(log: TokenLog, slo: SLOs = None, user: User | None = None) -> pd.DataFrame:
    """Exactly one row, with the columns of `summary_values`."""
    import pandas as pd

    return pd.DataFrame([summary_values(log, slo, user)])


def summary_values(
    log: TokenLog, slo: SLOs = None, user: User | None = None, since: float | None = None
) -> dict[str, float]:
    """Every metric of the run by name; seconds unless the name says otherwise, NaN where undefined.

    `user` is the paper's if not given; without an `slo`, what depends on it is NaN. The log is passed over
    once, chunk by chunk. Sums do not depend on the order of requests (math.fsum). Quantiles are linear
    between order statistics; those of more than 32 million gaps are within 0.05 %.

    since: end of the warm-up, seconds. Requests that arrive before it are left out (`without_warmup`) and T starts
    later; so the replica's figures are of that time, whoever it served, but whether the run is unstable is still
    judged on all of it. `user` is that of the whole run.
    """
    kept, its_user = without_warmup(log, since), user_without_warmup(user or User(), log, since)
    return values_without_warmup(kept, log, slo, its_user)


def values_without_warmup(kept: TokenLog, whole: TokenLog, slo: SLOs, user: User) -> dict[str, float]:
    """`summary_values` of `kept`, the requests of `whole` that are no warm-up, whose user is `user`."""
    of_the_replica = _replica_values(kept, whole)  # first: it needs room that the columns below take
    gaps = GapSample(int(np.maximum(kept.num_tokens() - 1, 0).sum()))
    columns = request_columns(kept, slo, user, gaps)
    return (
        _counts(kept, columns)
        | _latencies(columns, gaps)
        | _slo_values(kept, columns, slo)
        | _user_values(kept, columns)
        | _quality_values(kept, columns)
        | _token_rates(kept, columns)
        | of_the_replica
    )


def _counts(log: TokenLog, columns: Columns) -> dict[str, float]:
    counts = {f"num_{status.name.lower()}": float((log.status == status).sum()) for status in Status}
    tokens = int(columns["num_tokens"].sum())
    return {
        "rate": arrival_rate(log),
        "span": span(log),
        "window": log.window,
        "num_requests": float(log.num_requests),
        **counts,
        "num_tokens": float(tokens),
        "throughput_requests_per_s": per_second(counts["num_finished"], span(log)),
        "throughput_tokens_per_s": per_second(tokens, span(log)),
    }


def _latencies(columns: Columns, gaps: GapSample) -> dict[str, float]:
    tbt = {"tbt_mean": fsum(_defined(columns["streaming"])) / gaps.num_gaps if gaps.num_gaps else _NAN}
    tbt |= {f"tbt_{name}": float(v) for name, v in zip(QUANTILES, gaps.quantiles([*QUANTILES.values()]), strict=True)}
    return (
        _describe("ttft", columns["ttft"])
        | tbt
        | _describe("tbt_max", columns["tbt_max"])
        | _describe("tpot", columns["tpot"])
        | _describe("e2e", columns["e2e"])
        | _describe("normalised_latency", columns["normalised_latency"])
    )


def _slo_values(log: TokenLog, columns: Columns, slo: SLOs) -> dict[str, float]:
    met, tokens = columns["slo_met"], columns["num_tokens"]
    values = {
        "slo_attainment": slo_attainment(met),
        "slo_attainment_completed": slo_attainment_completed(met, log.status),
        "goodput_requests_per_s": goodput_requests(met, span(log)),
        "goodput_tokens_per_s": goodput_tokens(met, tokens, span(log)),
        "goodput_requests_per_s_window": goodput_requests(met, log.window),
        "goodput_tokens_per_s_window": goodput_tokens(met, tokens, log.window),
    }
    return values if slo is not None else dict.fromkeys(values, _NAN)


def _user_values(log: TokenLog, columns: Columns) -> dict[str, float]:
    """Smooth goodput, and the benefit by how requests ended: who pays for a drop, and who gains."""
    return (
        {
            "smooth_goodput_tokens_per_s": smooth_goodput(columns["benefit"], span(log)),
            "smooth_goodput_tokens_per_s_window": smooth_goodput(columns["benefit"], log.window),
        }
        | {f"benefit_{s.name.lower()}_tokens": fsum(columns["benefit"][log.status == s]) for s in Status}
        | _describe("idle_latency", columns["idle_latency"])
    )


def _quality_values(log: TokenLog, columns: Columns) -> dict[str, float]:
    """Scores in [0, 1]: means, low quantiles, and the shares of all sent, and of the finished, that did well."""
    finished = log.status == Status.FINISHED
    values = _describe("qoe", columns["qoe"], LOW_QUANTILES)
    values["qoe_mean_completed"] = _mean(_defined(columns["qoe"][finished]))
    for name, bound in (("qoe_good", GOOD_QOE), ("qoe_perfect", PERFECT_QOE)):
        values |= _shares(name, columns["qoe"] >= bound, finished)
    fluid = finished & (columns["fluidity"] >= FLUID)
    return values | _describe("fluidity", columns["fluidity"], LOW_QUANTILES) | _shares("fluid_share", fluid, finished)


def _token_rates(log: TokenLog, columns: Columns) -> dict[str, float]:
    values: dict[str, float] = {}
    for name in ("effective_tokens", "latency_class_tokens", "deadline_class_tokens"):
        total = fsum(columns[name])
        values[f"{name}_per_s"] = per_second(total, span(log))
        values[f"{name}_per_s_window"] = per_second(total, log.window)
    return values


def _replica_values(kept: TokenLog, whole: TokenLog) -> dict[str, float]:
    unstable = replica.is_unstable(whole)
    start = float(kept.arrival[0]) if kept.num_requests else _NAN
    return {
        **_describe("scheduling_delay", replica.scheduling_delay(kept)),
        "num_preemptions": float(replica.preemptions(kept).sum()) if kept.events is not None else _NAN,
        "utilisation": replica.utilisation(kept),
        "mean_queue": replica.mean_queue(whole, start),
        "peak_kv": replica.peak_kv(kept),
        "unstable": _NAN if unstable is None else float(unstable),
    }


def _describe(name: str, values: Floats, quantiles: Mapping[str, float] = QUANTILES) -> dict[str, float]:
    """Mean and quantiles of the values that are defined."""
    defined = _defined(values)
    levels = [*quantiles.values()]
    found = np.quantile(defined, levels) if len(defined) else np.full(len(levels), _NAN)
    mean = {f"{name}_mean": _mean(defined)}
    return mean | {f"{name}_{label}": float(v) for label, v in zip(quantiles, found, strict=True)}


def _mean(values: Floats) -> float:
    return fsum(values) / len(values) if len(values) else _NAN


def _shares(name: str, good: Bools, finished: Bools) -> dict[str, float]:
    return {name: slo_attainment(good), f"{name}_completed": slo_attainment(good[finished])}


def _defined(values: Floats) -> Floats:
    return values[~np.isnan(values)]
