"""`smoothserve capacity`: the highest rate that keeps a condition, and what a token costs there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.compare import compare
from experiments.reader_options import AsJson

if TYPE_CHECKING:
    from experiments.capacity.rows import CapacityRow
    from experiments.capacity.search import SearchSettings
    from experiments.study import StudySpec

DEFAULT_OUT = Path("results/capacity")
_DEFAULT_SEEDS = 5
_NOT_SHARED = {"rate", "profile", "precision", "max_seeds", "out", "as_json", "quiet", "jobs"}
"""Options of `smoothserve compare` that mean something else here, or nothing."""


def run_capacity(
    study: StudySpec,
    conditions: Sequence[str],
    out: Path = DEFAULT_OUT,
    *,
    profiles: Sequence[str] | None = None,
    prices: Mapping[str, float] | None = None,
    settings: SearchSettings | None = None,
    jobs: int | None = None,
    quiet: bool = True,
) -> list[CapacityRow]:
    """Find the capacities, write them to `out`, and return them, as `find_capacity` does.

    Nothing is left at `out` if anything goes wrong, and an earlier result there stays. Raises ValueError or OSError
    with one line.
    """
    from experiments.capacity.find import find_capacity, num_searches
    from experiments.capacity.plots import draw_capacity
    from experiments.capacity.results import not_capacity, write_capacity
    from experiments.capacity.search import SearchSettings
    from experiments.cells import pinned
    from experiments.folders import check_target, replacing
    from experiments.progress import progress

    profiles, settings = profiles or [study.profile], settings or SearchSettings()
    check_target(out, not_capacity)
    with replacing(out, not_capacity) as folder, ExitStack() as stack:
        shown = cache(lambda: stack.enter_context(progress(num_searches(study, profiles), quiet, "searches")))
        table = find_capacity(
            study,
            conditions,
            profiles=profiles,
            prices=prices,
            settings=settings,
            jobs=jobs,
            on_progress=lambda done: shown()(done),  # nothing is shown before the search begins
        )
        write_capacity(folder, pinned(study), search_record(conditions, profiles, prices, settings), table)
        (folder / "figures").mkdir()
        draw_capacity(folder / "figures" / "capacity.png", table)
    return table


def search_record(
    conditions: Sequence[str],
    profiles: Sequence[str],
    prices: Mapping[str, float] | None,
    settings: SearchSettings,
) -> dict[str, Any]:
    """What was searched, as plain data."""
    return {
        "keep": list(conditions),
        "profiles": list(profiles),
        "usd_per_gpu_hour": dict(prices or {}),
        **settings.model_dump(mode="json"),
    }


def _with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `smoothserve compare` that say what the workload, people and engine are."""
    own = inspect.signature(command, eval_str=True).parameters
    theirs = inspect.signature(compare, eval_str=True).parameters
    shared = [parameter for name, parameter in theirs.items() if name not in _NOT_SHARED and name not in own]
    mine = [parameter for parameter in own.values() if parameter.kind is not parameter.VAR_KEYWORD]
    command.__signature__ = inspect.Signature([*mine, *shared])  # type: ignore[attr-defined]
    return command


@_with_study_options
def capacity(
    ctx: typer.Context,
    study: Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="Study; the built-in one if none.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'METRIC>=X and METRIC<=Y'|peak:METRIC",
            help="Condition; repeat it for a capacity by each. Latencies in seconds.",
        ),
    ] = None,
    profile: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Hardware profiles; repeatable, or with commas.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="PROFILE=USD", help="Price of a GPU-hour, by profile or device; repeatable."),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Width of the last bracket over its upper end.")] = 0.02,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go.")] = DEFAULT_OUT,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores where it pays.")] = None,
    **study_options: Any,
) -> None:
    """Find the highest rate of a replica that keeps a condition, for every policy and profile.

    Without --keep there are two: 90 % of requests meet the SLO (if there is one), and the mean QoE is at least 0.9.
    A rate at which a run is unstable keeps no condition.
    """
    from experiments.capacity.prices import parse_prices
    from experiments.capacity.report import print_json, print_report

    given = {name: value for name, value in study_options.items() if value is not None and value != ()}
    profiles = [name.strip() for names in profile or () for name in names.split(",")]
    spec = _study(study, given, profiles)
    conditions, prices, settings = keep or _default_conditions(spec), parse_prices(price or ()), _settings(tolerance)
    profiles = profiles or [spec.profile]
    table = run_capacity(
        spec, conditions, out, profiles=profiles, prices=prices, settings=settings, jobs=jobs, quiet=quiet
    )
    if as_json:
        print_json(spec, search_record(conditions, profiles, prices, settings), table)
    else:
        print_report(spec, table, out)


def _study(path: Path | None, given: dict[str, Any], profiles: Sequence[str]) -> StudySpec:
    """The study; rates need not be given, since they play no part, and there are five seeds if nobody says."""
    from experiments.study_files import default_study_fields, read_fields
    from experiments.study_options import study_from

    fields = default_study_fields() if path is None else read_fields(path)
    if not fields.get("rates") or "trace" in given or "lengths" in given:
        given = {**given, "rate": ["1"]}
    if profiles:
        given = {**given, "profile": profiles[0]}
    spec = study_from(path, given)
    if "seeds" in spec.model_fields_set or "seed" in given:
        return spec
    return spec.model_copy(update={"seeds": tuple(range(_DEFAULT_SEEDS))})


def _default_conditions(study: StudySpec) -> list[str]:
    from experiments.study import MixedWorkload

    classes = study.workload.classes if isinstance(study.workload, MixedWorkload) else ()
    promised = study.slo is not None or any(each.slo is not None for each in classes)
    return [*(["slo_attainment>=0.9"] if promised else []), "qoe_mean>=0.9"]


def _settings(tolerance: float) -> SearchSettings:
    from experiments.capacity.search import SearchSettings

    if not 0 < tolerance < 1:
        raise ValueError(f"--tolerance: must be above 0 and below 1, got {tolerance}")
    return SearchSettings(tolerance=tolerance)
