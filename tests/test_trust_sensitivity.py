"""The sensitivity page: changes of the model, conclusions and winners on data made by hand, and the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from experiments import trust
from experiments.aggregate import rows
from experiments.cells import CellResult, cells, check_names
from experiments.paper.best import Metric
from experiments.paper.runs import Runs
from experiments.study import StudySpec
from experiments.trust import sensitivity_runs
from experiments.trust.sensitivity import write_page
from experiments.trust.sensitivity_changes import CHANGES, changed, changed_profile
from experiments.trust.sensitivity_conclusions import CONCLUSIONS, GOODPUT, MIXED, Conclusion, Verdict
from experiments.trust.sensitivity_runs import base_studies
from experiments.trust.sensitivity_winners import Winner, agreement, compared
from hardware_profiles import load_profile

HOME = Path(trust.__file__).parent
PROFILE = "a100-80gb/llama-3-8b/tp1+vllm-2024"
LATENCY = Metric("waits", "ttft_mean", "s", higher_is_better=False)


def made_by_hand(values: Mapping[str, float], key: str = GOODPUT.key, noise: float = 0.0001) -> Runs:
    """Runs of four seeds at 1 request/s with one quantity as given, and a little noise that policies do not share."""
    study = StudySpec.model_validate(
        {
            "workload": {"lengths": "sharegpt"},
            "rates": [1.0],
            "window": 10.0,
            "profile": "a100-80gb/llama-3-8b/tp1",
            "policies": tuple(values),
            "seeds": 4,
        }
    )
    found = []
    for cell in cells(study):
        own = noise * ((5 * cell.index + cell.seed**2) % 7 - 3)
        found.append(CellResult(cell, 1.0, {key: values[cell.policy] + own, "unstable": 0.0}, {}))
    return Runs(study, tuple(rows(found)))


def test_every_change_changes_one_thing_and_has_a_file_name_of_its_own() -> None:
    assert len({change.file_name for change in CHANGES}) == len(CHANGES)
    base = load_profile(PROFILE).coefficients.latency()
    for change in CHANGES:
        kinds = [change.latency is not None, bool(change.limits), bool(change.fields)]
        assert kinds.count(True) == 1, change.words
        if change.latency is not None:
            values = change.latency(base)
            moved = {name for name, value in values.items() if value != getattr(base, name)}
            assert len(moved) == 1 or change.factor in ("all times", "overhead"), change.words


def test_the_symmetric_changes_are_ten_percent_each_way() -> None:
    base = load_profile(PROFILE)
    ratios = {
        change.words: changed_profile(base, change).coefficients.t0.value / base.coefficients.t0.value
        for change in CHANGES
        if change.factor == "t0"
    }
    assert ratios == pytest.approx({"t0 −10 %": 0.9, "t0 +10 %": 1.1})


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_a_changed_study_differs_from_its_base_in_that_alone_and_can_run(change, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    base = base_studies()[MIXED]
    study = changed(base, change, tmp_path)
    check_names(study)
    different = {name for name in type(base).model_fields if getattr(study, name) != getattr(base, name)}
    if change.latency is not None:
        assert different == {"name", "profile"}
        before, after = (load_profile(each.profile) for each in (base, study))
        assert before.kv_capacity == after.kv_capacity
        moved = {n for n, value in after.coefficients if value != getattr(before.coefficients, n)}
        assert moved == {n for n, v in change.latency(before.coefficients.latency()).items() if v or n in moved}
        assert after.latency == after.coefficients.latency()
    else:
        assert different == {"name", "limits" if change.limits else next(iter(change.fields))}


def test_a_profile_that_has_been_used_is_changed_too() -> None:
    base = load_profile(PROFILE)
    before = base.latency
    change = next(change for change in CHANGES if change.factor == "m")
    assert changed_profile(base, change).latency != before


@pytest.mark.parametrize(
    ("a", "better", "verdict"),
    [
        (2.0, True, Verdict.HOLDS),
        (2.0, False, Verdict.CONTRARY),
        (1.0, True, Verdict.CONTRARY),
        (1.0, False, Verdict.HOLDS),
        (0.5, True, Verdict.CONTRARY),
        (0.5, False, Verdict.HOLDS),
        (1.005, True, Verdict.CONTRARY),  # certain, and too little to count
    ],
)
def test_a_conclusion_holds_if_the_interval_says_so(a: float, better: bool, verdict: Verdict) -> None:
    runs = {"by hand": made_by_hand({"fcfs": 1.0, "edf": a})}
    assert Conclusion("", "by hand", 1.0, "edf", "fcfs", GOODPUT, better=better).verdict(runs) is verdict


def test_a_conclusion_is_open_where_noise_is_wide() -> None:
    runs = {"by hand": made_by_hand({"fcfs": 1.0, "edf": 1.1}, noise=0.5)}
    for better in (True, False):
        assert Conclusion("", "by hand", 1.0, "edf", "fcfs", GOODPUT, better=better).verdict(runs) is Verdict.OPEN


def test_lower_is_better_where_the_metric_says_so() -> None:
    runs = {"by hand": made_by_hand({"fcfs": 1.0, "edf": 0.5}, key=LATENCY.key)}
    assert Conclusion("", "by hand", 1.0, "edf", "fcfs", LATENCY).verdict(runs) is Verdict.HOLDS


def test_winners_stay_tie_or_change() -> None:
    base = made_by_hand({"fcfs": 3.0, "edf": 2.0, "andes": 1.0})
    tied = made_by_hand({"fcfs": 3.0, "edf": 3.0, "andes": 1.0})
    other = made_by_hand({"fcfs": 2.0, "edf": 3.0, "andes": 1.0})
    assert compared(base, base, 1.0, GOODPUT) == (Winner.KEPT, 1.0)
    assert compared(base, tied, 1.0, GOODPUT) == (Winner.OVERLAPS, pytest.approx(2 / 3))
    assert compared(base, other, 1.0, GOODPUT) == (Winner.OTHER, pytest.approx(1 / 3))
    assert compared(tied, other, 1.0, GOODPUT) == (Winner.OVERLAPS, 1.0)


def test_agreement_is_kendalls_over_the_pairs_that_differ() -> None:
    assert agreement({"a": 1, "b": 2, "c": 3}, {"a": 3, "b": 2, "c": 1}) == -1
    assert agreement({"a": 1, "b": 1}, {"a": 1, "b": 2}) == 1  # nothing was told apart
    assert agreement({"a": 1, "b": 2}, {"a": 1, "b": 1}) == 0


def test_the_kept_page_speaks_of_every_conclusion_and_change() -> None:
    text = (HOME / "SENSITIVITY.md").read_text(encoding="utf-8")
    assert all(f"| {conclusion.words} (" in text for conclusion in CONCLUSIONS)
    assert f"{len(CHANGES)} changes in all" in text
    assert "half a minute" not in text


def test_a_quick_page_runs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity_runs, "CHANGES", [change for change in CHANGES if change.factor == "kp"])
    write_page(tmp_path, quick=True, jobs=1, quiet=True, kept=tmp_path / "kept")
    text = (tmp_path / "SENSITIVITY.md").read_text(encoding="utf-8")
    assert "1 changes in all" in text
    assert all(f"| {conclusion.words} (" in text for conclusion in CONCLUSIONS)
    assert (tmp_path / "sensitivity.png").stat().st_size > 10_000
    assert (tmp_path / "sensitivity_differences.png").stat().st_size > 10_000
    assert (tmp_path / "kept" / "profiles" / "kp-k.yaml").exists()
