"""One row per request: every per-request metric, computed in a single pass over the token times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.metrics import fluidity, latencies
from simulator.metrics.andes_qoe import Expectation, Outcome, qoe
from simulator.metrics.deadline_tokens import deadline_class_tokens, latency_class_tokens
from simulator.metrics.deadlines import since_submission, stall_free_start
from simulator.metrics.effective_tokens import effective_tokens
from simulator.metrics.gap_sample import GapSample
from simulator.metrics.periods import last_event
from simulator.metrics.ragged import Ragged
from simulator.metrics.replica import preemptions, scheduling_delay
from simulator.metrics.selection import of_requests, user_of_requests
from simulator.metrics.slo import SLO, slo_met
from simulator.metrics.smooth_goodput import benefit, user_idle_latency, waits_until
from simulator.metrics.user import User
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes

if TYPE_CHECKING:
    import pandas as pd


Columns = dict[str, npt.NDArray[Any]]
SLOs = SLO | Mapping[str, SLO | None] | None
"""What the requests are held to: one SLO, one for each class by its name, or none."""


class _People(NamedTuple):
    """Who reads each request, (n,): tokens/s, until when they wait (s), and Andes' expectations and outcomes."""

    speed: Floats
    waits_until: Floats
    expected: Expectation
    outcome: Outcome

    def of(self, part: slice) -> _People:
        """Those of consecutive requests."""
        return _People(self.speed[part], self.waits_until[part], self.expected.of(part), self.outcome.of(part))


def request_columns(
    log: TokenLog, slo: SLOs, user: User, gaps: GapSample | None = None, tbt_p99: bool = False
) -> Columns:
    """Per-request metrics of a log by name, each (n,); times in seconds, NaN where undefined.

    num_tokens: delivered. ttft, tpot, e2e, normalised_latency, streaming, tbt_max: as in `latencies`; tbt_p99
    only if asked for. slo_met: all False without an SLO. latency_class_tokens, deadline_class_tokens: NaN
    without its bounds. fluidity: by the SLO's ttft and tbt, Etalon's where it has none. reading_speed,
    idle_latency, benefit, qoe, effective_tokens: of `user`. `gaps`, if given, takes in every gap.
    Raises ValueError for a token time that is not finite.
    """
    if isinstance(slo, Mapping):
        return _columns_by_class(log, slo, user, gaps, tbt_p99)
    people = _people(log, user)
    joined: Columns = {}
    for first, last in [*log.chunks()] or [(0, 0)]:
        chunk = slice(first, last)
        tokens, arrival, status = log.token_times(first, last), log.arrival[chunk], log.status[chunk]
        _refuse_unknown_times(tokens, first)
        request_gaps = latencies.gaps(tokens)
        if gaps is not None:
            gaps.add(request_gaps.values)
        columns = _latency_columns(tokens, request_gaps, arrival, status)
        if tbt_p99:
            columns["tbt_p99"] = latencies.tbt_quantile(request_gaps, 0.99)
        columns |= _slo_columns(slo, tokens, arrival, status)
        elapsed = since_submission(tokens, arrival)
        columns |= _user_columns(user, people.of(chunk), tokens, elapsed, arrival)
        columns["fluidity"] = _fluidity(slo, elapsed)
        for name, column in columns.items():  # in place: a copy of all columns of a million requests is 140 MB
            joined.setdefault(name, np.empty(log.num_requests, column.dtype))[chunk] = column
    joined["benefit"] = benefit(joined["idle_latency"], joined["num_tokens"], user)
    joined["reading_speed"] = people.speed
    return joined


def _columns_by_class(
    log: TokenLog, slos: Mapping[str, SLO | None], user: User, gaps: GapSample | None, tbt_p99: bool
) -> Columns:
    """Columns of requests of which each class is judged by its own SLO."""
    classes = [np.flatnonzero(log.request_class == i) for i in range(len(log.class_names))]
    parts = [
        request_columns(of_requests(log, ids), slos.get(name), user_of_requests(user, log, ids), gaps, tbt_p99)
        for name, ids in zip(log.class_names, classes, strict=True)
    ]
    order = np.argsort(np.concatenate(classes))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def per_request(log: TokenLog, slo: SLOs = None, user: User | None = None) -> pd.DataFrame:
    """One row per request, indexed by its number `request`; times in seconds, NaN where undefined.

    arrival, prompt_length, output_length, request_class, client, status, reason, end: as in the log, in
    words. num_tokens: delivered. ttft, tpot, e2e, normalised_latency, tbt_max, tbt_p99, scheduling_delay,
    idle_latency: seconds (per token for normalised_latency). benefit, effective_tokens, latency_class_tokens,
    deadline_class_tokens: tokens. reading_speed: tokens/s. qoe, fluidity: in [0, 1]. slo_met: missing without
    an SLO. num_preemptions. `user` is the paper's if not given.
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
    for name in ("reading_speed", "idle_latency", "benefit", "qoe", "effective_tokens"):
        frame[name] = columns[name]
    for name in ("fluidity", "latency_class_tokens", "deadline_class_tokens"):
        frame[name] = columns[name]
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


def _people(log: TokenLog, user: User) -> _People:
    log_end = last_event(log)
    speed = user.speeds(log.num_requests)
    end = np.where(log.status == Status.UNFINISHED, log_end, log.end) - log.arrival
    return _People(
        speed,
        waits_until(user, log.arrival, log.status, log.end, log_end),
        Expectation(user.qoe.expected_ttft(log.prompt_length), speed),
        Outcome(log.status, end, log.output_length),
    )


def _slo_columns(slo: SLO | None, tokens: TokenTimes, arrival: Floats, status: Ints) -> Columns:
    nobody, unknown = np.zeros(len(arrival), dtype=np.bool_), np.full(len(arrival), np.nan)
    columns: Columns = {"slo_met": nobody, "latency_class_tokens": unknown, "deadline_class_tokens": unknown}
    if slo is not None:
        columns["slo_met"] = slo_met(slo, tokens, arrival, status)
        if slo.ttft is not None and slo.tbt is not None:
            columns["latency_class_tokens"] = latency_class_tokens(tokens, arrival, slo.ttft, slo.tbt)
        if slo.e2e is not None:
            columns["deadline_class_tokens"] = deadline_class_tokens(tokens, arrival, status, slo.e2e)
    return columns


def _fluidity(slo: SLO | None, elapsed: TokenTimes) -> Floats:
    ttft = fluidity.TTFT if slo is None or slo.ttft is None else slo.ttft
    tbt = fluidity.TBT if slo is None or slo.tbt is None else slo.tbt
    if tbt < fluidity.SHORTEST_TBT:
        return np.full(len(elapsed.offsets) - 1, np.nan)
    return fluidity.fluidity_index(elapsed, ttft, tbt)


def _user_columns(user: User, people: _People, tokens: TokenTimes, elapsed: TokenTimes, arrival: Floats) -> Columns:
    start = stall_free_start(elapsed, people.speed)
    return {
        "idle_latency": user_idle_latency(tokens, arrival, people.speed, user.origin, people.waits_until),
        "qoe": qoe(user.qoe, start, people.expected, people.outcome),
        "effective_tokens": effective_tokens(elapsed, start, people.speed, people.outcome.output_length),
    }


def _refuse_unknown_times(tokens: TokenTimes, first_request: int) -> None:
    known = np.isfinite(tokens.times)
    if not known.all():
        at = int(np.argmin(known))
        request = first_request + int(np.searchsorted(tokens.offsets, at, side="right")) - 1
        raise ValueError(f"request {request}: a token time is {tokens.times[at]}, which is no time")


def _words(codes: Ints, words: Sequence[str]) -> pd.Categorical[Any]:
    import pandas as pd

    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(words)))
