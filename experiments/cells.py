"""A cell of a study: one policy, one rate, one seed; its workload, its run and what is kept of it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.bounds import bound_values, worth_alone
from experiments.contender import contender
from experiments.distributions import Counts, count_latencies
from experiments.people import judges, with_people
from experiments.study import MixedWorkload, StudySpec, TraceWorkload
from hardware_profiles import load_profile
from policies import make_policy
from simulator.delivery import deliver
from simulator.metrics import User, class_values, per_request, summary_values
from simulator.metrics.per_request import SLOs
from simulator.metrics.warmup import num_before, user_without_warmup, warmup_by_mser5, without_warmup
from simulator.simulation import simulate
from simulator.token_log import TokenLog
from simulator.workload import (
    Workload,
    load_length_table,
    mixed_workload,
    read_trace,
    rescale_rate,
    synthetic_workload,
)
from simulator.workload import limit as first_requests

if TYPE_CHECKING:
    import pandas as pd

_OURS = {"simulator", "policies", "hardware_profiles", "experiments"}


@dataclass(frozen=True)
class Cell:
    """One run of a study. `rate` is in requests/s, None for a trace at its own rate."""

    index: int
    policy: str
    rate: float | None
    seed: int

    @property
    def file_name(self) -> str:
        """Name of the file of its per-request table."""
        rate = "own-rate" if self.rate is None else f"rate{self.rate:g}"
        policy = re.sub(r"[^A-Za-z0-9_.=]+", "-", self.policy)
        return f"{self.index:04d}-{policy}-{rate}-seed{self.seed}.parquet"


class CellResult(NamedTuple):
    """What is kept of a run. rate: as asked for, or as measured in a replay.

    values: the summary of the run by name, its measured rate as `arrival_rate`. classes: the summary of each class
    of requests by its name, if there are several.
    """

    cell: Cell
    rate: float
    values: dict[str, float]
    latencies: dict[str, Counts]
    classes: Mapping[str, Mapping[str, float]] = MappingProxyType({})


def cells(study: StudySpec) -> list[Cell]:
    """All cells; those that share a workload are neighbours."""
    keys = [(p, r, s) for r in study.rates or (None,) for s in study.seeds for p in study.policies]
    return [Cell(i, *key) for i, key in enumerate(keys)]


def check_names(study: StudySpec) -> None:
    """Raise ValueError or OSError, with one line, for a name or file that the study needs and does not exist."""
    load_profile(study.profile)
    for policy in study.policies:
        contender(policy, study.limits, study.delivery)
    if isinstance(study.workload, TraceWorkload):
        _trace(study.workload.trace, study.workload.format, study.requests, study.seeds[0])
    elif isinstance(study.workload, MixedWorkload):
        for each in study.workload.classes:
            load_length_table(each.lengths)
    else:
        load_length_table(study.workload.lengths)


def pinned(study: StudySpec) -> StudySpec:
    """The study with the hash of its trace in it. Raises ValueError if it already holds another one."""
    if not isinstance(study.workload, TraceWorkload):
        return study
    with Path(study.workload.trace).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if study.workload.sha256 not in (None, found):
        raise ValueError(f"{study.workload.trace}: sha256 is {found}, the study was made with {study.workload.sha256}")
    return study.model_copy(update={"workload": study.workload.model_copy(update={"sha256": found})})


def num_requests(study: StudySpec) -> float:
    """About how many requests the whole study simulates."""
    if isinstance(study.workload, TraceWorkload):
        return len(cells(study)) * len(
            _trace(study.workload.trace, study.workload.format, study.requests, study.seeds[0])
        )
    a_run = [study.requests or rate * (study.window or 0.0) for rate in study.rates]
    return sum(a_run) * len(study.seeds) * len(study.policies)


@lru_cache(maxsize=1)
def cell_workload(study: StudySpec, rate: float | None, seed: int) -> Workload:
    """What arrives in the cells of this rate and seed, and what is expected: the same for every policy."""
    workload = _requests(study, rate, seed)
    if not len(workload):
        at = "its own rate" if rate is None else f"{rate:g} requests/s"
        raise ValueError(
            f"seed {seed}: no request arrives at {at} in the window of {study.window} s: give a longer one"
        )
    return with_people(workload, study, seed)


def run_cell(
    study: StudySpec, cell: Cell, folder: Path | None = None, on_progress: Callable[[int], None] | None = None
) -> CellResult:
    """Simulate the cell, write its per-request table to `folder` if there is one, and return its summary."""
    return judge_cell(study, cell, cell_log(study, cell, on_progress), folder)


def cell_log(study: StudySpec, cell: Cell, on_progress: Callable[[int], None] | None = None) -> TokenLog:
    """The token log of the cell's run: the same whenever it is run again.

    A ValueError that is not raised by this project's code is a mistake in a policy from outside and not in the input:
    it comes as RuntimeError.
    """
    workload = cell_workload(study, cell.rate, cell.seed)
    policy, limits, delivery = contender(cell.policy, study.limits, study.delivery)
    try:
        log = simulate(
            workload,
            policy,
            load_profile(study.profile),
            limits=limits,
            seed=cell.seed,
            max_concurrency=study.max_concurrency,
            oversize=study.oversize,
            on_progress=on_progress,
        )
    except ValueError as error:
        *_, (raised_in, _) = walk_tb(error.__traceback__)
        if raised_in.f_globals["__name__"].partition(".")[0] in _OURS:
            raise
        raise RuntimeError(f"policy {cell.policy} raised {type(error).__name__}: {error}") from error
    return deliver(log, delivery, workload.speed)


def judge_cell(study: StudySpec, cell: Cell, log: TokenLog, folder: Path | None = None) -> CellResult:
    """The summary of the cell's run `log`; its per-request table goes to `folder` if there is one."""
    workload, profile = cell_workload(study, cell.rate, cell.seed), load_profile(study.profile)
    limits = contender(cell.policy, study.limits, study.delivery).limits
    slo, user, worth = _judgement(study, cell.rate, cell.seed)
    since = warmup_end(study, cell.rate, cell.seed)
    values = _measured(summary_values(log, slo, user, since))
    values |= {"warmup": since, "num_warmup_requests": float(num_before(workload.arrival, since))}
    under_pressure = log.counters.get("num_iterations_under_pressure", math.nan)
    values["share_under_pressure"] = under_pressure / max(log.counters["num_iterations"], 1)
    values |= bound_values(values, worth, workload, profile, limits)
    rate = values["arrival_rate"] if cell.rate is None else cell.rate
    several = class_values(log, slo, user, since) if len(log.class_names) > 1 else {}
    classes = {name: _measured(each) for name, each in several.items()}
    kept = without_warmup(log, since)
    if folder is not None:
        _write_requests(per_request(kept, slo, user_without_warmup(user, log, since)), cell, rate, folder)
    return CellResult(cell, rate, values, count_latencies(kept), classes)


def _measured(values: Mapping[str, float]) -> dict[str, float]:
    """The summary with its `rate` as `arrival_rate`: the rate of a row is the one that was asked for."""
    return {"arrival_rate" if name == "rate" else name: value for name, value in values.items()}


@lru_cache(maxsize=1)
def warmup_end(study: StudySpec, rate: float | None, seed: int) -> float:
    """Until when requests arrive that are not judged, seconds: the same for every policy of this rate and seed.

    With `mser5` it is what MSER-5 finds in a run of fcfs under the study's limits. A cut of each policy's own would
    leave each with other requests, and pairs would be none; one that depends on all policies would change with
    their number. fcfs stands for them: a policy that takes longer to settle keeps a part of its warm-up. Raises
    ValueError if no request is left.
    """
    workload = cell_workload(study, rate, seed)
    if study.warmup == "mser5":
        profile, policy = load_profile(study.profile), make_policy("fcfs")
        return warmup_by_mser5(simulate(workload, policy, profile, limits=study.limits, oversize=study.oversize))
    if study.warmup and num_before(workload.arrival, study.warmup) == len(workload):
        raise ValueError(f"warmup: every request of seed {seed} arrives before {study.warmup:g} s")
    return study.warmup


@lru_cache(maxsize=1)
def _judgement(study: StudySpec, rate: float | None, seed: int) -> tuple[SLOs, User, float]:
    workload = cell_workload(study, rate, seed)
    slo, user = judges(workload, study)
    first = num_before(workload.arrival, warmup_end(study, rate, seed))
    return slo, user, worth_alone(workload, load_profile(study.profile), user, first)


def _write_requests(table: pd.DataFrame, cell: Cell, rate: float, folder: Path) -> None:
    for name, value in (("seed", cell.seed), ("rate", rate), ("policy", cell.policy)):
        table.insert(0, name, value)
    table.to_parquet(folder / cell.file_name, index=False)


def _requests(study: StudySpec, rate: float | None, seed: int) -> Workload:
    spec, requests, window = study.workload, study.requests, study.window
    if isinstance(spec, TraceWorkload):
        workload = _trace(spec.trace, spec.format, requests, seed)
        workload = workload if rate is None else rescale_rate(workload, rate)
        if window is None:
            return workload
        return first_requests(workload, int(np.searchsorted(workload.arrival, window)))
    assert rate is not None
    arrivals = spec.process(rate)
    if isinstance(spec, MixedWorkload):
        return mixed_workload(arrivals, spec.classes, num_requests=requests, window=window, seed=seed)
    lengths = load_length_table(spec.lengths)
    return synthetic_workload(arrivals, lengths, num_requests=requests, window=window, seed=seed, name=spec.lengths)


@lru_cache(maxsize=1)
def _trace(path: str, format: str | None, requests: int | None, seed: int) -> Workload:
    return read_trace(Path(path), format=format, seed=seed, limit=requests)
