"""The run to show a timeline of: a saved token log, or a cell of a study, run again to the same log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.cells import Cell, CellResult, cell_log, cell_workload, cells, check_names, judge_cell, pinned
from experiments.log_files import load_log
from experiments.numbers import number
from experiments.people import judges
from experiments.saved_results import read_results
from experiments.study import StudySpec
from experiments.study_files import load_study
from simulator.metrics import SLO
from simulator.token_log import Floats, TokenLog
from simulator.unknown_name import unknown_name


class Run(NamedTuple):
    """A run, what it is in words, and what its users were promised.

    speed: (n,) tokens/s at which they read, NaN where nobody said. ttft: (n,) bound on the first token, seconds, NaN
    without one.
    """

    log: TokenLog
    words: str
    speed: Floats
    ttft: Floats


class Choice(NamedTuple):
    """Which cell of a study to run; what is None is left to `load_run`. rate: requests/s."""

    policy: str | None = None
    rate: float | None = None
    seed: int | None = None


def load_run(path: str | Path, choice: Choice | None = None) -> Run:
    """The run at `path`: a token log of `log_files.save_log`, a result of `smoothserve compare`, or a study file.

    A study is run again for the chosen cell; a result's run must then agree with the one in its runs.parquet. If
    not chosen: the first policy; the highest rate at which no queue grows under it, as the result has it, or a
    study file's rate in the middle; the first seed.

    Raises ValueError or OSError, with one line, for a path that is none of these, for a cell that the study has
    not, and for a rerun that disagrees.
    """
    path, choice = Path(path), choice or Choice()
    if path.is_dir() and not (path / "study.yaml").exists():
        return _saved(path, choice)
    if not path.is_dir():
        study = load_study(path)
        check_names(study)
        study = pinned(study)
        return _rerun(study, _cell(study, choice, study.rates[len(study.rates) // 2 :][:1]))[0]
    study, table = read_results(path)
    study = pinned(study)
    policy = _policy(study, choice)
    stable = [row.rate for row in table if row.policy == policy and not row.unstable]
    cell = _cell(study, choice, [] if study.is_replay else sorted(stable)[-1:] or sorted(study.rates)[:1])
    run, again = _rerun(study, cell)
    recorded = [r for row in table for r in row.runs if _same_cell(r.cell, cell)]
    if not recorded:
        raise ValueError(f"{path / 'runs.parquet'}: holds no run of {run.words}")
    _check_agreement(path, run, again, recorded[0])
    return run


def _saved(path: Path, choice: Choice) -> Run:
    if not (path / "requests.parquet").exists():
        raise ValueError(f"{path}: holds neither a study.yaml nor the requests.parquet of a token log")
    log = load_log(path)
    given = [name for name, value in choice._asdict().items() if value is not None]
    if given:
        raise ValueError(f"{path}: is the log of one run, so there is no {given[0]} to choose")
    words = ", ".join(str(log.meta[key]) for key in ("policy", "profile", "workload") if key in log.meta)
    unknown = np.full(log.num_requests, np.nan)
    return Run(log, words or str(path), unknown, unknown)


def _policy(study: StudySpec, choice: Choice) -> str:
    """The policy of the study that was asked for, by its spec or, if it is the only one of that name, by its name."""
    if choice.policy is None or choice.policy in study.policies:
        return choice.policy or study.policies[0]
    namesakes = [policy for policy in study.policies if re.split("[:@]", policy)[0] == choice.policy]
    if len(namesakes) != 1:
        raise ValueError(unknown_name("policy of this study", choice.policy, study.policies))
    return namesakes[0]


def _cell(study: StudySpec, choice: Choice, usual_rate: Sequence[float]) -> Cell:
    policy = _policy(study, choice)
    rate = next(iter(usual_rate), None) if choice.rate is None else choice.rate
    seed = study.seeds[0] if choice.seed is None else choice.seed
    if study.is_replay and choice.rate is not None:
        raise ValueError(f"rate {choice.rate:g}: the study replays a trace at its own rate")
    if rate is not None and rate not in study.rates:
        raise ValueError(f"rate {rate:g}: the study has {', '.join(f'{r:g}' for r in study.rates)} requests/s")
    if seed not in study.seeds:
        raise ValueError(f"seed {seed}: the study has {', '.join(map(str, study.seeds))}")
    wanted = Cell(0, policy, rate, seed)
    return next(cell for cell in cells(study) if _same_cell(cell, wanted))


def _same_cell(a: Cell, b: Cell) -> bool:
    return (a.policy, a.rate, a.seed) == (b.policy, b.rate, b.seed)


def _rerun(study: StudySpec, cell: Cell) -> tuple[Run, CellResult]:
    log = cell_log(study, cell)
    workload = cell_workload(study, cell.rate, cell.seed)
    slos, _ = judges(workload, study)
    by_class = slos if isinstance(slos, Mapping) else dict.fromkeys(workload.class_names, slos)
    bounds = np.array([_ttft(by_class.get(name)) for name in workload.class_names])
    rate = "" if cell.rate is None else f" at {number(cell.rate)} requests/s"
    words = f"{cell.policy}{rate}, seed {cell.seed}, {study.profile}"
    num = log.num_requests
    run = Run(log, words, workload.speed[:num], bounds[log.request_class])
    return run, judge_cell(study, cell, log)


def _ttft(slo: SLO | None) -> float:
    return float("nan") if slo is None or slo.ttft is None else slo.ttft


def _check_agreement(path: Path, run: Run, again: CellResult, recorded: CellResult) -> None:
    """Raise ValueError if the rerun's summary is another one than the recorded; rounding of sums may differ."""
    for name, before in recorded.values.items():
        now = again.values.get(name, float("nan"))
        if not (isclose(now, before, rel_tol=1e-9, abs_tol=1e-12) or (np.isnan(now) and np.isnan(before))):
            raise ValueError(
                f"{path}: {run.words}: run again, {name} is {now:g}, the result has {before:g}: another version made it"
            )
