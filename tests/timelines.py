"""Runs small enough to work out by hand, and what to read off them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from policies import make_policy
from simulator import EngineLimits, EventKind, TokenLog, simulate
from simulator.workload import Workload
from tests.support import ConstantLatency, Machine

ONE_SEAT = EngineLimits(max_num_seqs=1)
MODES = pytest.mark.parametrize("leap", [True, False])


def tokens(log: TokenLog) -> list[list[float]]:
    times, offsets = log.token_times()
    return [times[a:b].tolist() for a, b in pairwise(offsets)]


def second_by_second(load: Workload, spec: str, **options: Any) -> TokenLog:
    """Every iteration takes 1 s."""
    return simulate(load, make_policy(spec), Machine(ConstantLatency(1.0)), **options)


def starts(log: TokenLog) -> list[int]:
    """Ids in the order in which their first prefill began."""
    assert log.events is not None
    return [int(i) for i, kind in zip(log.events.request, log.events.kind, strict=True) if kind == EventKind.ADMIT]
