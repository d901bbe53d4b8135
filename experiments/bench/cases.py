"""What is measured: workloads of fixed seeds, the policies that each is run under, and how many requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from simulator.unknown_name import unknown_name

NEAR_CAPACITY = "load_0.9"
"""The workload that `overload` is compared with."""
LESSONS, SCORE, STARTUP, SWEEP, TRACE = "lessons", "score", "startup", "sweep", "trace"
_BOTH = ("fcfs", "chunked_prefill")


class Case(BaseModel):
    """One measurement. policy: what runs, also where that is no policy; requests: all of them if None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: str
    policy: str
    requests: int | None = Field(default=None, ge=1)
    trace: str | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        size = f", {self.requests:,} requests" if self.requests else ""
        return f"{self.workload} with {self.policy}{size}"


class _Plan(NamedTuple):
    policies: tuple[str, ...]
    sizes: tuple[int | None, ...]
    takes_policies: bool = True


_PLANS = {
    "f6": _Plan(_BOTH, (10_000, 100_000, 1_000_000)),
    "c5": _Plan(_BOTH, (10_000, 100_000, 1_000_000)),
    "c1": _Plan(_BOTH, (100_000,)),
    "overload": _Plan(_BOTH, (100_000,)),
    "andes": _Plan(("andes", "drop_on_miss"), (20_000,)),
    "policies": _Plan((), (20_000,)),
    TRACE: _Plan(_BOTH, (None,)),
    SCORE: _Plan(("all metrics",), (1_000_000,), False),
    STARTUP: _Plan(("--help", "compare"), (None,), False),
    SWEEP: _Plan(("two workers",), (60_000,), False),
    LESSONS: _Plan((), (None,), False),
}
WORKLOADS = tuple(_PLANS)
_BY_THE_CLOCK = {STARTUP, SWEEP, LESSONS}
"""They need cores to themselves, so `all` leaves them to be asked for by name."""


def chosen(text: str) -> list[str]:
    """The workloads that `text` names, with commas between them; `all` are those measured in CPU seconds.

    Raises ValueError for an unknown name.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name != "all" and name not in _PLANS:
            raise ValueError(unknown_name("workload", name, [*WORKLOADS, "all"]))
    expanded = [each for name in names for each in (_IN_ALL if name == "all" else (name,))]
    return list(dict.fromkeys(expanded))


_IN_ALL = tuple(name for name in WORKLOADS if name not in _BY_THE_CLOCK)


def cases(
    names: Sequence[str],
    requests: int | None = None,
    policies: Sequence[str] | None = None,
    trace: str | None = None,
) -> list[Case]:
    """The cases of these workloads, each `overload` with its counterpart near capacity.

    requests, policies: instead of the workloads' own, where they have some. trace: the file to replay.
    """
    found = [case for name in names for case in _cases_of(name, requests, policies, trace)]
    wanted = [case for case in found for case in filter(None, (_near_capacity(case), case))]
    return list(dict.fromkeys(wanted))


def baseline(case: Case) -> Case | None:
    """What the cost of a case is divided by: a tenth of a million requests, or the same load near capacity."""
    if case.requests == 1_000_000 and case.workload in ("f6", "c5"):
        return case.model_copy(update={"requests": case.requests // 10})
    return _near_capacity(case)


def _near_capacity(case: Case) -> Case | None:
    return case.model_copy(update={"workload": NEAR_CAPACITY}) if case.workload == "overload" else None


def _cases_of(name: str, requests: int | None, policies: Sequence[str] | None, trace: str | None) -> list[Case]:
    plan = _PLANS[name]
    ours = plan.policies or (_lessons() if name == LESSONS else _every_other_policy())
    sizes = plan.sizes if requests is None or name in (STARTUP, LESSONS) else (requests,)
    return [
        Case(workload=name, policy=policy, requests=size, trace=trace if name == TRACE else None)
        for policy in (policies if policies and plan.takes_policies else ours)
        for size in sizes
    ]


def _lessons() -> tuple[str, ...]:
    from experiments.lessons.registry import LESSONS

    return tuple(lesson.slug for lesson in LESSONS)


def _every_other_policy() -> tuple[str, ...]:
    from policies.registry import BUILT_IN

    return tuple(name for name in BUILT_IN if name not in _PLANS["andes"].policies)
