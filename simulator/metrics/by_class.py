"""Metrics of mixed traffic, class by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.metrics.per_request import SLOs
from simulator.metrics.selection import of_requests, user_of_requests
from simulator.metrics.summary import summary_values
from simulator.metrics.user import User
from simulator.token_log import TokenLog


def class_values(log: TokenLog, slo: SLOs = None, user: User | None = None) -> dict[str, dict[str, float]]:
    """By the name of each class, `summary_values` of its requests alone, judged by its own SLO if `slo` is by class.

    T is the window of the whole run, so goodputs over it add up to the run's; the span is from the first arrival
    of the class. Utilisation and peak KV are the replica's, whoever caused them. A class without requests has
    rates of 0 and no latencies (NaN).
    """
    values: dict[str, dict[str, float]] = {}
    for i, name in enumerate(log.class_names):
        ids = np.flatnonzero(log.request_class == i)
        its_slo = slo.get(name) if isinstance(slo, Mapping) else slo
        values[name] = summary_values(of_requests(log, ids), its_slo, user_of_requests(user or User(), log, ids))
    return values
