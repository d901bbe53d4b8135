"""Seeds are added until the scores are known well enough, and no longer."""

from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.aggregate import Row, rows
from experiments.cells import CellResult, cells
from experiments.compare import run_compare
from experiments.intervals import Interval
from experiments.precision import precision_note, relative_half_width, run_to_precision, shortfalls
from experiments.study import StudySpec
from experiments.study_files import load_study, make_study
from experiments.study_options import study_from
from experiments.verdict import scores, verdict

FIELDS = {
    "workload": {"lengths": "azure-conv"},
    "rates": [1, 2],
    "requests": 20,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs", "lcfs"],
    "seeds": 3,
    "precision": 0.05,
}
Run = Callable[[StudySpec], list[CellResult]]


def study_of(**change: object) -> StudySpec:
    return make_study({**FIELDS, **change}, "x")


def drawn(spread: dict[float, float], mean: float = 100.0, unstable: float = 0.0) -> tuple[Run, list[StudySpec]]:
    """Runs whose smooth goodput is normal, with this standard deviation at each rate, and what was asked for."""
    asked: list[StudySpec] = []

    def run(study: StudySpec) -> list[CellResult]:
        asked.append(study)
        return [CellResult(cell, cell.rate or 0.0, values(cell.rate or 0.0, cell.seed), {}) for cell in cells(study)]

    def values(rate: float, seed: int) -> dict[str, float]:
        score = np.random.default_rng(seed).normal(mean, spread[rate])
        return {
            "smooth_goodput_tokens_per_s_window": score,
            "goodput_requests_per_s_window": nan,
            "window": 10.0,
            "num_tokens": 2000.0,
            "unstable": unstable,
        }

    return run, asked


def num_seeds(results: list[CellResult]) -> dict[tuple[float, str], int]:
    return {(row.rate, row.policy): len(row.runs) for row in rows(results)}


def test_a_score_is_known_relative_to_itself_or_to_what_it_could_be_near_zero() -> None:
    assert relative_half_width(Interval(-50.0, 5.0), 1000.0) == 0.1
    assert relative_half_width(Interval(10.0, 5.0), 1000.0) == 0.5
    assert relative_half_width(Interval(9.0, 5.0), 1000.0) == 0.005
    assert relative_half_width(Interval(0.0, 0.0), 1000.0) == 0.0
    assert relative_half_width(Interval(9.0, nan), 1000.0) == inf
    assert relative_half_width(Interval(9.0, 5.0), 0.0) == inf


def test_seeds_stop_where_the_precision_is_reached_and_policies_stay_pairs() -> None:
    study = study_of()
    run, asked = drawn({1.0: 0.0, 2.0: 10.0})
    results = run_to_precision(study, run)
    counts = num_seeds(results)
    assert counts[1.0, "fcfs"] == counts[1.0, "lcfs"] == 5  # nothing to wait for
    n = counts[2.0, "fcfs"]
    assert counts[2.0, "lcfs"] == n
    assert 5 < n < 50
    assert not shortfalls(rows(results), 0.05)
    before = [result for result in results if result.cell.seed < sum(len(part.seeds) for part in asked[:-1])]
    assert shortfalls(rows(before), 0.05)  # it did not go on when it could have stopped


def test_rounds_add_the_seeds_of_the_rates_that_fall_short_and_at_most_double_them() -> None:
    run, asked = drawn({1.0: 0.0, 2.0: 100.0})
    run_to_precision(study_of(max_seeds=30), run)
    assert [(part.rates, part.seeds) for part in asked] == [
        ((1.0, 2.0), tuple(range(5))),
        ((2.0,), tuple(range(5, 10))),
        ((2.0,), tuple(range(10, 20))),
        ((2.0,), tuple(range(20, 30))),
    ]


def test_seeds_go_on_from_the_highest_that_the_study_names() -> None:
    run, asked = drawn({1.0: 0.0, 2.0: 0.0})
    run_to_precision(study_of(seeds=[7, 3]), run)
    assert [part.seeds for part in asked] == [(7, 3, 8, 9, 10)]


def test_the_cap_binds_and_is_said() -> None:
    study = study_of(max_seeds=8)
    run, _ = drawn({1.0: 0.0, 2.0: 100.0})
    results = run_to_precision(study, run)
    assert num_seeds(results)[2.0, "lcfs"] == 8
    note = precision_note(study, rows(results))
    assert note.startswith("Asked for: ± 5 %, not reached with 8 seeds (max_seeds) by 2 of the scores; the worst is ")
    assert "smooth goodput of fcfs at 2 req/s, ± " in note
    assert note.endswith("the intervals are slightly too short.")
    few, asked = drawn({1.0: 0.0, 2.0: 100.0})
    run_to_precision(study_of(max_seeds=3), few)
    assert [part.seeds for part in asked] == [(0, 1, 2)]


def test_what_was_reached_is_said() -> None:
    study = study_of()
    run, _ = drawn({1.0: 0.0, 2.0: 10.0})
    table = rows(run_to_precision(study, run))
    most = max(len(row.runs) for row in table)
    assert precision_note(study, table).startswith(
        f"Asked for: ± 5 %, reached with 5 to {most} seeds wherever a run is stable. Having stopped"
    )
    assert precision_note(study_of(precision=None), table) == ""


def test_unstable_rows_get_no_more_seeds() -> None:
    study = study_of()
    run, asked = drawn({1.0: 90.0, 2.0: 90.0}, unstable=1.0)
    table = rows(run_to_precision(study, run))
    assert len(asked) == 1
    assert precision_note(study, table) == "Asked for: ± 5 %. No rate is stable, and only there are seeds added."


def test_a_score_that_crosses_zero_is_judged_by_what_it_could_be() -> None:
    run, asked = drawn({1.0: 5.0, 2.0: 5.0}, mean=0.0)  # of at most 200 tokens/s
    run_to_precision(study_of(rates=[1]), run)
    assert len(asked) == 1


def test_sequential_stopping_costs_little_coverage() -> None:
    hits = []
    for i in range(300):

        def run(study: StudySpec, i: int = i) -> list[CellResult]:
            return [
                CellResult(c, 1.0, {**VALUES, KEY: np.random.default_rng((i, c.seed)).normal(100.0, 20.0)}, {})
                for c in cells(study)
            ]

        (row,) = rows(run_to_precision(study_of(rates=[1], policies=["fcfs"], precision=0.1), run))
        value = row.values[KEY]
        hits.append(abs(value.mean - 100.0) <= value.half_width)
    assert 0.86 < np.mean(hits) <= 0.96


KEY = "smooth_goodput_tokens_per_s_window"
VALUES = {"goodput_requests_per_s_window": nan, "window": 10.0, "num_tokens": 2000.0, "unstable": 0.0}


def test_rates_with_other_numbers_of_seeds_are_compared_on_those_they_share() -> None:
    def result(rate: float, policy: str, seed: int, score: float) -> CellResult:
        cell = next(c for c in cells(study_of(seeds=[seed])) if (c.rate, c.policy) == (rate, policy))
        return CellResult(cell, rate, {**VALUES, KEY: score}, {})

    table = rows(
        [result(1.0, "fcfs", seed, 10.0 + seed) for seed in (0, 1)]
        + [result(2.0, "lcfs", seed, 20.0 + seed) for seed in (0, 1, 2)]
    )
    assert verdict(table) == "Smooth goodput chooses lcfs over fcfs (21 and 10.5 tokens/s)."
    none_shared = rows([result(1.0, "fcfs", 0, 10.0), result(1.0, "lcfs", 1, 20.0)])
    assert "sees no difference between" in verdict(none_shared)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudySpec, list[Row], Path]:
    out = tmp_path_factory.mktemp("precision") / "out"
    study = study_of(precision=0.1, max_seeds=12, policies=["fcfs", "chunked_prefill"])
    return *run_compare(study, out), out


def test_a_study_to_a_precision_keeps_all_of_its_runs(written: tuple[StudySpec, list[Row], Path]) -> None:
    _, table, out = written
    assert len(table) == 4
    counts = [len(row.runs) for row in table]
    assert min(counts) >= 5
    assert max(counts) > 5
    assert counts[0] == counts[1]
    assert counts[2] == counts[3]
    for row in table:
        assert [run.cell.seed for run in row.runs] == list(range(len(row.runs)))
        reached = not any(short.row is row for short in shortfalls(table, 0.1))
        assert reached or len(row.runs) == 12
    assert len(list((out / "requests").iterdir())) == sum(counts) == len(pd.read_parquet(out / "runs.parquet"))
    assert [score.words for score in scores(table)] == ["smooth goodput"]


def test_a_study_to_a_precision_reruns_to_the_same_bytes(
    written: tuple[StudySpec, list[Row], Path], tmp_path: Path
) -> None:
    study, _, out = written
    assert load_study(out / "study.yaml") == study
    run_compare(study, tmp_path / "again")
    names = [str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and p.name != "meta.json"]
    assert [name for name in names if (tmp_path / "again" / name).read_bytes() != (out / name).read_bytes()] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": 0}, "precision: should be greater than 0, got 0"),
        ({"precision": 5}, "precision: should be less than 1, got 5"),
        ({"max_seeds": 1}, "max_seeds: should be greater than or equal to 2, got 1"),
        ({"max_seeds": 2}, "max_seeds: 2 is below the 3 seeds that the study has"),
    ],
)
def test_a_precision_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study_of(**change)


def test_options_of_precision() -> None:
    study = study_from(None, {"precision": 0.02, "max_seeds": 99})
    assert (study.precision, study.max_seeds) == (0.02, 99)
