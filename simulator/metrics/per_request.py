"""One row per request: every per-request metric, computed in a single pass over the token times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simulator.metrics import latencies
from simulator.metrics.gap_sample import GapSample
from simulator.metrics.periods import last_event
from simulator.metrics.ragged import Bools, Ragged
from simulator.metrics.replica import preemptions, scheduling_delay
from simulator.metrics.slo import SLO, slo_met
from simulator.metrics.smooth_goodput import User, benefit, user_idle_latency, waits_until
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes

if TYPE_CHECKING:
    import pandas as pd


Columns = dict[str, npt.NDArray[Any]]


def request_columns(
    log: TokenLog, slo: SLO | None, user: User, gaps: GapSample | None = None, tbt_p99: bool = False
) -> Columns:
    """Per-request metrics of a log by name, each (n,); times in seconds, NaN where undefined.

    num_tokens: delivered. ttft, tpot, e2e, normalised_latency, streaming, tbt_max: as in `latencies`; tbt_p99
    only if asked for. slo_met: all False without an SLO. idle_latency, benefit: of `user`. `gaps`, if given,
    takes in every gap.
    """
    speed = user.speeds(log.num_requests)
    until = waits_until(user, log.arrival, log.status, log.end, last_event(log))
    parts: list[Columns] = []
    for first, last in [*log.chunks()] or [(0, 0)]:
        chunk = slice(first, last)
        tokens = log.token_times(first, last)
        request_gaps = latencies.gaps(tokens)
        columns = _latency_columns(tokens, request_gaps, log.arrival[chunk], log.status[chunk])
        columns["slo_met"] = _verdict(slo, tokens, log.arrival[chunk], log.status[chunk])
        columns["idle_latency"] = user_idle_latency(tokens, log.arrival[chunk], speed[chunk], user.origin, until[chunk])
        if tbt_p99:
            columns["tbt_p99"] = latencies.tbt_quantile(request_gaps, 0.99)
        if gaps is not None:
            gaps.add(request_gaps.values)
        parts.append(columns)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined["benefit"] = benefit(joined["idle_latency"], joined["num_tokens"], user)
    return joined


def per_request(log: TokenLog, slo: SLO | None = None, user: User | None = None) -> pd.DataFrame:
    """One row per request, indexed by its number `request`; times in seconds, NaN where undefined.

    arrival, prompt_length, output_length, request_class, client, status, reason, end: as in the log, in
    words. num_tokens: delivered. ttft, tpot, e2e, normalised_latency, tbt_max, tbt_p99, scheduling_delay,
    idle_latency: seconds (per token for normalised_latency). benefit: tokens. slo_met: missing without an
    SLO. num_preemptions. `user` is the paper's if not given.
    """
    import pandas as pd

    columns = request_columns(log, slo, user or User(), tbt_p99=True)
    frame: dict[str, Any] = {
        "arrival": log.arrival,
        "prompt_length": log.prompt_length,
        "output_length": log.output_length,
        "request_class": _words(log.request_class, log.class_names),
        "client": log.client,
        "status": _words(log.status, [status.name.lower() for status in Status]),
        "reason": list(log.reason),
        "end": log.end,
    }
    for name in ("num_tokens", "ttft", "tpot", "e2e", "normalised_latency", "tbt_max", "tbt_p99"):
        frame[name] = columns[name]
    frame["scheduling_delay"] = scheduling_delay(log)
    frame["num_preemptions"] = preemptions(log)
    missing = np.full(log.num_requests, slo is None)
    frame["slo_met"] = pd.arrays.BooleanArray(columns["slo_met"], missing)
    frame["idle_latency"] = columns["idle_latency"]
    frame["benefit"] = columns["benefit"]
    return pd.DataFrame(frame, index=pd.RangeIndex(log.num_requests, name="request"))


def _latency_columns(tokens: TokenTimes, request_gaps: Ragged, arrival: Floats, status: Ints) -> Columns:
    return {
        "num_tokens": np.diff(tokens.offsets),
        "ttft": latencies.ttft(tokens, arrival),
        "tpot": latencies.tpot(tokens),
        "e2e": latencies.e2e(tokens, arrival, status),
        "normalised_latency": latencies.normalised_latency(tokens, arrival, status),
        "streaming": latencies.streaming(tokens),
        "tbt_max": latencies.tbt_max(request_gaps),
    }


def _verdict(slo: SLO | None, tokens: TokenTimes, arrival: Floats, status: Ints) -> Bools:
    return np.zeros(len(arrival), dtype=np.bool_) if slo is None else slo_met(slo, tokens, arrival, status)


def _words(codes: Ints, words: Sequence[str]) -> pd.Categorical[Any]:
    import pandas as pd

    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(words)))
