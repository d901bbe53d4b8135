"""Two runs of the same workload: the treatment whose effect is shown, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from experiments.cells import Cell, cell_log, cell_workload
from experiments.people import judges
from experiments.study import StudySpec
from simulator.metrics import User, summary_values
from simulator.metrics.per_request import SLOs
from simulator.metrics.periods import last_event
from simulator.metrics.selection import of_requests, user_of_requests
from simulator.metrics.smooth_goodput import benefit, smooth_goodput, user_idle_latency, waits_until
from simulator.metrics.user import Abandonment
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes

Values = tuple[float, float]
"""A quantity in the treated run and in the other one."""


@dataclass(frozen=True)
class Pair:
    """The runs `a`, treated, and `b`, not, of one workload, and who judges both."""

    a: TokenLog
    b: TokenLog
    slo: SLOs
    user: User

    @cached_property
    def summaries(self) -> tuple[dict[str, float], dict[str, float]]:
        """Every metric of `a` and of `b`, as of `summary_values`."""
        return summary_values(self.a, self.slo, self.user), summary_values(self.b, self.slo, self.user)

    @cached_property
    def parts(self) -> tuple[tuple[Users, Users], tuple[Users, Users]]:
        """The users who are dropped in `a`, as they fare in `a` and in `b`; and likewise everybody else."""
        gone, stay = ((users(self.a, self.user, ids), users(self.b, self.user, ids)) for ids in self._dropped_or_not)
        return gone, stay

    @property
    def _dropped_or_not(self) -> tuple[Ints, Ints]:
        dropped = self.a.status == Status.DROPPED
        return np.flatnonzero(dropped), np.flatnonzero(~dropped)


class Users(NamedTuple):
    """Some of the users of a run: their own log, who they are and their tokens."""

    log: TokenLog
    user: User
    tokens: TokenTimes
    speed: Floats

    def smooth_goodput(self, abandonment: Abandonment, patience: float | None = None) -> float:
        """What they add to smooth goodput over the arrival window by a reading of a drop, tokens/s.

        patience: seconds; their own if not given. A partition of the users adds up to the smooth goodput.
        """
        patience = self.user.patience if patience is None else patience
        user = self.user.model_copy(update={"abandonment": abandonment, "patience": patience})
        until = waits_until(user, self.log.arrival, self.log.status, self.log.end, last_event(self.log))
        idle = user_idle_latency(self.tokens, self.log.arrival, self.speed, user.origin, until)
        return smooth_goodput(benefit(idle, np.diff(self.tokens.offsets), user), self.log.window)


def users(log: TokenLog, user: User, ids: Ints) -> Users:
    """The users of the requests `ids`, which are ascending."""
    some, user = of_requests(log, ids), user_of_requests(user, log, ids)
    return Users(some, user, some.token_times(), user.speeds(len(ids)))


def run_pair(study: StudySpec, rate: float, seed: int) -> Pair:
    """Both runs of a study whose policies are the one compared with and the treated one, in this order."""
    slo, user = judges(cell_workload(study, rate, seed), study)
    b, a = (cell_log(study, Cell(i, policy, rate, seed)) for i, policy in enumerate(study.policies))
    return Pair(a, b, slo, user)


def both(samples: Sequence[Values]) -> tuple[Floats, Floats]:
    """The values of all treated runs, and of all others, each (num_pairs,)."""
    a, b = np.array(samples, dtype=np.float64).T
    return a, b
