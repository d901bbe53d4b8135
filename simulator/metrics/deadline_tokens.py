"""Tokens that met their deadlines (Tempo, later JITServe; arXiv 2504.20068), for its two classes of requests."""

from __future__ import annotations

import numpy as np

from simulator.metrics import ragged
from simulator.token_log import Floats, Ints, Status, TokenTimes


def latency_class_tokens(tokens: TokenTimes, arrival: Floats, ttft: float, tbt: float) -> Floats:
    """Tokens i of each request with t_i ≤ s + ttft + i·tbt, however it ended, (n,); equality meets.

    tokens, arrival: seconds; ttft, tbt: seconds, of the latency-sensitive class.
    """
    due = np.repeat(arrival + ttft, np.diff(tokens.offsets)) + ragged.positions(tokens.offsets) * tbt
    return ragged.reduce(np.add, (tokens.times <= due).astype(np.float64), tokens.offsets, empty=0.0)


def deadline_class_tokens(tokens: TokenTimes, arrival: Floats, status: Ints, e2e: float) -> Floats:
    """All tokens of each request that finished by s + e2e, none of another, (n,); equality meets.

    tokens, arrival: seconds; e2e: seconds, of the deadline-sensitive class.
    """
    in_time = (status == Status.FINISHED) & (ragged.last(*tokens) <= arrival + e2e)
    return np.where(in_time, np.diff(tokens.offsets), 0).astype(np.float64)
