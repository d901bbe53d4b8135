"""Finding capacities: a search for every profile, policy and seed, here or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

from experiments.capacity.conditions import Condition, Values, parse_condition
from experiments.capacity.prices import prices_of
from experiments.capacity.rows import CapacityRow
from experiments.capacity.search import SearchSettings
from experiments.capacity.seeds import SeedSearch, search_seed
from experiments.cells import Cell, cell_workload, check_names, pinned, run_cell
from experiments.study import StudySpec
from hardware_profiles import load_profile
from policies import make_policy
from simulator.simulation import simulate
from simulator.workload import rescale_rate

_T = TypeVar("_T")
_BACKLOG_REQUESTS = 500
_WORTH_WORKERS = 60_000
"""Requests from which on workers save more than their start costs, as in `experiments.runner`."""
_RUNS_OF_A_SEARCH = 12


class _Search(NamedTuple):
    """One search: a study of one profile and policy, a seed, and the rate at which to start."""

    number: int
    study: StudySpec
    policy: str
    seed: int
    start: float


def find_capacity(
    study: StudySpec,
    conditions: Sequence[Condition | str],
    *,
    profiles: Sequence[str] | None = None,
    policies: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    prices: Mapping[str, float] | None = None,
    settings: SearchSettings | None = None,
    jobs: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> list[CapacityRow]:
    """The capacity by every condition, of every policy on every profile: rows in that order.

    The study's workload is offered at rates that the search chooses; its own rates play no part, nor does the pace of a
    trace. Policies and profiles share the workload of a seed and rate. A rate at which a run is unstable keeps no
    condition. With a seed, lengths and scaled arrivals are the same at every rate.

    conditions: as made or spelled for `parse_condition`. profiles, policies, seeds: the study's if not given. prices:
    USD per GPU-hour by profile or device. jobs: worker processes; None takes every core where that pays.
    on_progress: told how many of the profiles × policies × seeds searches are done, from 0 on.

    Raises ValueError or OSError of one line for a condition, name or price that does not exist, before anything runs,
    and for a condition on a metric that is undefined in every run.
    """
    given = {"policies": policies, "seeds": seeds}
    study = StudySpec.model_validate(dict(study) | {name: value for name, value in given.items() if value is not None})
    wanted = _distinct("condition", [_condition(each) for each in conditions])
    priced = prices_of(_distinct("profile", profiles or [study.profile]), prices or {})
    study = pinned(study)
    studies = {profile: study.model_copy(update={"profile": profile}) for profile in priced}
    for each in studies.values():
        check_names(each)
    if on_progress is not None:
        on_progress(0)
    found = _run(_searches(studies.values()), wanted, settings or SearchSettings(), jobs, on_progress)
    return [
        _row(condition, i, profile, policy, priced[profile], [found[profile, policy, seed] for seed in study.seeds])
        for i, condition in enumerate(wanted)
        for profile in studies
        for policy in study.policies
    ]


def num_searches(study: StudySpec, profiles: Sequence[str]) -> int:
    """How many searches there are: one for each profile, policy and seed."""
    return len(profiles) * len(study.policies) * len(study.seeds)


@cache
def known_metrics() -> frozenset[str]:
    """Names of everything in the summary of a run, found by simulating two requests."""
    profile = "a100-80gb/llama-3-8b/tp1"
    fields = {"workload": {"lengths": "azure-conv"}, "rates": [1], "requests": 2, "policies": ["fcfs"]}
    return frozenset(run_cell(StudySpec.model_validate(fields | {"profile": profile}), Cell(0, "fcfs", 1.0, 0)).values)


def backlog_capacity(study: StudySpec) -> float:
    """About the capacity of the study's replica, requests/s: output rate of fcfs on a closed backlog of its lengths.

    Of the first 500 requests at most, all there from the start, with nobody leaving, to two digits: where a search
    starts decides how long it takes and not what it finds. 1 where nothing of it can run.
    """
    few = min(study.requests or _BACKLOG_REQUESTS, _BACKLOG_REQUESTS)
    backlog = study.model_copy(update={"requests": few, "window": None, "impatience": None})
    workload = rescale_rate(cell_workload(backlog, 1.0, study.seeds[0]), float("inf"))
    profile = load_profile(study.profile)
    log = simulate(workload, make_policy("fcfs"), profile, limits=study.limits, oversize=study.oversize)
    end = float(log.end.max(initial=0.0))
    return float(f"{log.num_requests / end:.2g}") if end > 0 else 1.0


def _distinct(what: str, values: Sequence[_T]) -> Sequence[_T]:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"{what} {value} is given twice")
    return values


def _condition(given: Condition | str) -> Condition:
    return parse_condition(given, known_metrics()) if isinstance(given, str) else given


def _searches(studies: Iterable[StudySpec]) -> list[_Search]:
    """Searches with one workload side by side."""
    keys = [
        (study, policy, seed, start)
        for study in studies
        for start in [backlog_capacity(study)]
        for seed in study.seeds
        for policy in study.policies
    ]
    return [_Search(i, *key) for i, key in enumerate(keys)]


def _run(
    todo: Sequence[_Search],
    conditions: Sequence[Condition],
    settings: SearchSettings,
    jobs: int | None,
    on_progress: Callable[[float], None] | None,
) -> dict[tuple[str, str, int], SeedSearch]:
    """What every search found, by profile, policy and seed."""
    from joblib import Parallel, delayed

    found = {}
    jobs = jobs or (-1 if _num_requests(todo) >= _WORTH_WORKERS else 1)
    with Parallel(n_jobs=jobs, return_as="generator_unordered") as parallel:
        for number, result in parallel(delayed(_search)(each, conditions, settings) for each in todo):
            search = todo[number]
            found[search.study.profile, search.policy, search.seed] = result
            if on_progress is not None:
                on_progress(len(found))
    return found


def _search(search: _Search, conditions: Sequence[Condition], settings: SearchSettings) -> tuple[int, SeedSearch]:
    def evaluate(rate: float) -> Values:
        return run_cell(search.study, Cell(search.number, search.policy, rate, search.seed)).values

    return search.number, search_seed(evaluate, conditions, search.seed, search.start, settings)


def _num_requests(todo: Sequence[_Search]) -> float:
    """About how many requests all searches simulate."""
    return _RUNS_OF_A_SEARCH * sum(len(cell_workload(each.study, each.start, each.seed)) for each in todo)


def _row(
    condition: Condition, i: int, profile: str, policy: str, price: float | None, searches: Sequence[SeedSearch]
) -> CapacityRow:
    answers = tuple(search.answers[i] for search in searches)
    runs = tuple(search.evaluations for search in searches)
    return CapacityRow(condition, profile, policy, load_profile(profile).tp, price, answers, runs)
