"""Metrics of mixed traffic, class by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.metrics.per_request import SLOs
from simulator.metrics.selection import of_requests, user_of_requests
from simulator.metrics.summary import values_without_warmup
from simulator.metrics.user import User
from simulator.metrics.warmup import user_without_warmup, without_warmup
from simulator.token_log import TokenLog


def class_values(
    log: TokenLog, slo: SLOs = None, user: User | None = None, since: float | None = None
) -> dict[str, dict[str, float]]:
    """By the name of each class, `summary_values` of its requests alone, judged by its own SLO if `slo` is by class.

    T is the window of the whole run, so goodputs over it add up to the run's; the span is from the first arrival
    of the class. Utilisation and peak KV in that span are the replica's, whoever caused them. A class without
    requests has rates of 0 and no latencies (NaN). since: end of the warm-up, seconds, as in `summary_values`.
    """
    user = user or User()
    kept, kept_user = without_warmup(log, since), user_without_warmup(user, log, since)
    values: dict[str, dict[str, float]] = {}
    for i, name in enumerate(log.class_names):
        ids = np.flatnonzero(kept.request_class == i)
        part, whole = of_requests(kept, ids), of_requests(log, np.flatnonzero(log.request_class == i))
        its_slo = slo.get(name) if isinstance(slo, Mapping) else slo
        values[name] = values_without_warmup(part, whole, its_slo, user_of_requests(kept_user, kept, ids))
    return values
