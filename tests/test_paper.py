"""The papers' experiments: their studies, their verdicts on data made by hand, and the page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from experiments.aggregate import rows
from experiments.cells import CellResult, cells, check_names
from experiments.paper import andes, sarathi, slo_definitions
from experiments.paper.best import ranks
from experiments.paper.experiment import Experiment
from experiments.paper.finding import Outcome, exists, outcome
from experiments.paper.make import make_page, paper_study, shortened
from experiments.paper.peaks import SPAN, peak, rescored
from experiments.paper.registry import EXPERIMENTS, HOME, experiment
from experiments.paper.runs import Runs
from experiments.paper.smooth_goodput import chunked_does_not_always_help, chunked_peaks_later, rises_and_falls
from experiments.paper.store import runs_of
from experiments.study import StudySpec

FCFS, CHUNKED = "fcfs", "chunked_prefill:token_budget=512"
STUDIES = sorted(path.stem for path in (HOME / "studies").glob("*.yaml"))


def made_by_hand(
    curves: Mapping[str, Sequence[float]], rates: Sequence[float], key: str = SPAN, name: str = "v2-by-hand"
) -> Runs:
    """Runs of three seeds, which differ in a little noise that all policies share, with one quantity as given."""
    study = StudySpec.model_validate(
        {
            "name": name,
            "workload": {"lengths": "sharegpt"},
            "rates": tuple(rates),
            "window": 10.0,
            "profile": "a100-80gb/llama-3-8b/tp1",
            "policies": tuple(curves),
            "seeds": 3,
        }
    )
    results = []
    for cell in cells(study):
        assert cell.rate is not None
        value = curves[cell.policy][rates.index(cell.rate)] + 0.01 * cell.seed
        tokens = {"throughput_tokens_per_s": 1000.0 + 0.01 * cell.seed}
        both = {SPAN: value, f"{SPAN}_window": value, key: value, "unstable": 0.0}
        results.append(CellResult(cell, cell.rate, tokens | both, {}))
    return Runs(study, tuple(rows(results)))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_valid_is_named_like_its_file_and_belongs_to_an_experiment(name: str) -> None:
    study = paper_study(name)
    check_names(study)
    assert study.name == name
    assert any(name in each.studies for each in EXPERIMENTS)


def test_every_study_of_an_experiment_is_there() -> None:
    assert {name for each in EXPERIMENTS for name in each.studies} == set(STUDIES)


def test_an_unknown_experiment_is_named_with_its_neighbours() -> None:
    with pytest.raises(ValueError, match=r"unknown experiment 'andis'.*andes"):
        experiment("andis")


def test_an_outcome_counts_its_checks() -> None:
    assert outcome([True, True]) is Outcome.REPRODUCED
    assert outcome([True, False]) is Outcome.PARTLY
    assert outcome([False]) is Outcome.NOT_REPRODUCED
    assert outcome([]) is Outcome.NOT_REPRODUCED
    assert exists([False, True]) is Outcome.REPRODUCED
    assert exists([False]) is Outcome.NOT_REPRODUCED


def test_a_curve_that_rises_and_falls_is_told_from_one_that_only_rises() -> None:
    rates = [1.0, 2.0, 3.0]
    hill = made_by_hand({FCFS: [100, 200, 50], CHUNKED: [100, 200, 50]}, rates)
    slope = made_by_hand({FCFS: [100, 200, 300], CHUNKED: [100, 200, 300]}, rates)
    assert rises_and_falls([hill], "paper").outcome is Outcome.REPRODUCED
    assert not peak(slope, FCFS).falls
    assert rises_and_falls([slope], "paper").outcome is Outcome.PARTLY  # the peak is stable, and nothing else holds


def test_the_later_peak_is_found_and_an_earlier_one_contradicts_the_claim() -> None:
    rates = [1.0, 2.0, 3.0, 4.0, 5.0]
    early, late = [50, 100, 60, 20, 0], [50, 70, 80, 100, 60]
    assert chunked_peaks_later([made_by_hand({FCFS: early, CHUNKED: late}, rates)], "p").outcome is Outcome.REPRODUCED
    swapped = made_by_hand({FCFS: late, CHUNKED: early}, rates)
    assert chunked_peaks_later([swapped], "p").outcome is Outcome.NOT_REPRODUCED


def test_chunked_prefill_that_always_helps_contradicts_the_claim_that_it_does_not() -> None:
    rates = [1.0, 2.0]
    helps = made_by_hand({FCFS: [100, 100], CHUNKED: [150, 150]}, rates)
    hurts = made_by_hand({FCFS: [100, 100], CHUNKED: [150, 90]}, rates)
    assert chunked_does_not_always_help([helps], "p").outcome is Outcome.NOT_REPRODUCED
    assert chunked_does_not_always_help([hurts], "p").outcome is Outcome.REPRODUCED
    assert "2 req/s" in chunked_does_not_always_help([hurts], "p").numbers


def test_capacity_is_where_the_first_of_both_bounds_is_crossed() -> None:
    rates = [1.0, 2.0, 3.0]
    tails = made_by_hand({FCFS: [0.0, 1.0, 2.0]}, rates, "tbt_p99")
    both = [
        CellResult(run.cell, run.rate, run.values | {"scheduling_delay_p50": 0.0 if run.rate < 3 else 4.0}, {})
        for row in tails.table
        for run in row.runs
    ]
    study = Runs(tails.study, tuple(rows(both)))
    assert sarathi.capacity(study, FCFS, 1.5)[0] == pytest.approx(2.5)  # the tail, halfway from 2 to 3
    assert sarathi.capacity(study, FCFS, 10.0)[0] == pytest.approx(2.5)  # the delay of 2 s, likewise


def test_a_policy_that_bears_no_higher_rate_saves_no_gpus() -> None:
    rates = [1.0, 2.0]
    equal = made_by_hand({FCFS: [0.99, 0.8], "andes": [0.99, 0.8]}, rates, "qoe_mean")
    assert andes.saved(equal, 0.9).mean == pytest.approx(0.0)
    better = made_by_hand({FCFS: [1.0, 0.8], "andes": [1.0, 1.0]}, rates, "qoe_mean")
    assert andes.saved(better, 0.9).mean == pytest.approx(0.25, abs=0.03)  # 1.5 requests/s against 2


def test_policies_that_cannot_be_told_apart_share_a_rank() -> None:
    noise = np.array([0.0, 1.0, -1.0, 0.5])
    values = {"best": 200 + noise, "a": 100 + noise, "b": 100.1 + noise[::-1], "last": 10 + noise}
    assert ranks(values) == {"best": 1, "a": 2, "b": 2, "last": 4}
    assert ranks(values, higher_is_better=False) == {"last": 1, "a": 2, "b": 2, "best": 4}


@pytest.fixture(scope="module")
def slo_runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("paper") / "store"
    study = shortened(paper_study(slo_definitions.STUDY)).model_copy(update={"rates": (4.0, 9.0)})
    return runs_of({study.name: study}, folder, with_requests={study.name}, jobs=1)[study.name]


def test_rescoring_at_the_studys_own_alpha_gives_its_smooth_goodput(slo_runs: Runs) -> None:
    for policy in slo_runs.policies:
        own = rescored(slo_runs, policy, slo_runs.study.user.alpha)
        assert own == pytest.approx(slo_runs.curves(policy, SPAN), rel=1e-9)


def test_the_slo_from_the_per_request_columns_is_that_of_the_engine_of_metrics(slo_runs: Runs) -> None:
    for policy in slo_runs.policies:
        attained = slo_definitions.attainment(slo_runs, policy, slo_definitions.DEFINITIONS[0])
        assert attained == pytest.approx(slo_runs.curves(policy, "slo_attainment"))


def test_the_page_of_one_experiment_is_made_from_start_to_end(tmp_path: Path) -> None:
    short = experiment("chunk-size")
    make_page(tmp_path / "page", [short], tmp_path / "store", quick=True, jobs=1)
    check_page(tmp_path / "page", [short])
    assert "Two seeds of half a minute" in (tmp_path / "page" / "RESULTS.md").read_text(encoding="utf-8")


def test_the_shipped_page_names_every_study_and_its_figures_are_there() -> None:
    check_page(HOME, EXPERIMENTS)


def check_page(folder: Path, experiments: Sequence[Experiment]) -> None:
    text = (folder / "RESULTS.md").read_text(encoding="utf-8")
    for each in experiments:
        assert f"--only {each.name}" in text
        assert all(f"(studies/{name}.yaml)" in text for name in each.studies)
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(images) == len(experiments)
    for image in images:
        assert 0 < (folder / image).stat().st_size < 100_000
    assert re.search(r"Made on \d{4}-\d\d-\d\d by `python -m experiments.paper`", text)
