"""Grid files: what they mean, and what they say about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.study_files import default_study_fields, load_study, make_study
from experiments.sweep.grid import load_grid, make_grid
from tests.sweep_support import FIELDS, OTHER_PROFILE, PROFILE, grid

TWO = {"chat": {"lengths": "azure-conv"}, "code": {"lengths": "azure-code", "arrivals": "gamma", "cv": 2}}


def test_every_study_is_a_grid_of_one() -> None:
    for fields in (FIELDS, default_study_fields()):
        found = make_grid(fields, "x")
        study = make_study(fields, "x")
        assert found.name == study.name
        (member,) = found.studies()
        assert member.study == study.model_copy(update={"name": member.study.name})
        assert (member.workload, member.profile) == ("azure-conv", study.profile)
        assert member.study.name == f"{study.name}/azure-conv/{study.profile}"


def test_a_grid_has_a_study_for_each_workload_and_profile() -> None:
    found = grid(workload=None, workloads=TWO, profile=None, profiles=[PROFILE, OTHER_PROFILE])
    assert [(m.workload, m.profile, m.study.workload.lengths, m.study.profile) for m in found.studies()] == [
        (name, profile, TWO[name]["lengths"], profile) for name in TWO for profile in (PROFILE, OTHER_PROFILE)
    ]
    assert {study.rates for study in found.members} == {(4.0, 2.0)}


@pytest.mark.parametrize("several", [True, False])
def test_resolved_grid_reads_back_equal(tmp_path: Path, several: bool) -> None:
    many = {"workload": None, "workloads": TWO, "profile": None, "profiles": [PROFILE, OTHER_PROFILE]}
    found = grid(**many if several else {})
    (tmp_path / "grid.yaml").write_text(found.to_yaml())
    assert load_grid(tmp_path / "grid.yaml") == found


@pytest.mark.parametrize(
    ("load", "name"),
    [
        ({"trace": "data/log.csv"}, "log"),
        ({"classes": [{"name": "a", "lengths": "sharegpt"}, {"name": "b", "lengths": "sharegpt"}]}, "a+b"),
    ],
)
def test_a_single_workload_is_called_after_what_it_is(load: dict[str, Any], name: str) -> None:
    assert grid(workload=load).workloads == (name,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workloads": TWO}, "grid.yaml: workload and workloads: give one of them"),
        ({"profiles": [PROFILE]}, "grid.yaml: profile and profiles: give one of them"),
        ({"workload": None}, "grid.yaml: workload: is missing"),
        ({"workload": None, "workloads": {}}, "grid.yaml: workloads: should be a mapping of names"),
        ({"workload": None, "workloads": ["azure-conv"]}, "grid.yaml: workloads: should be a mapping of names"),
        ({"workload": None, "workloads": {1: {"lengths": "azure-conv"}}}, "workloads: a name should be text, got 1"),
        ({"workload": None, "workloads": {"a": {"length": "x"}}}, "workloads.a.length: unknown field, did you mean"),
        (
            {"workload": None, "workloads": {"a": {"lengths": "x", "cv": -1}}},
            "grid.yaml: workloads.a.cv: should be greater than 0, got -1",
        ),
        ({"profile": None, "profiles": PROFILE}, "grid.yaml: profiles: should be a list"),
        ({"profile": None, "profiles": [PROFILE, 3]}, "grid.yaml: profiles.1: should be a valid string, got 3"),
        ({"profile": None, "profiles": [PROFILE, PROFILE]}, f"grid.yaml: profiles: {PROFILE} is given twice"),
        ({"profile": None, "profiles": ["a\nb", "a\nb"]}, "grid.yaml: profiles: a\\nb is given twice"),
        (
            {"profile": None, "profiles": [PROFILE] * 5_001},
            "grid.yaml: 1 workloads on 5001 profiles: at most 5000 pairs",
        ),
        ({"polices": ["fcfs"]}, "grid.yaml: polices: unknown field, did you mean policies?"),
        ({"rates": [0]}, "grid.yaml: rates.0: should be greater than 0, got 0"),
    ],
)
def test_mistakes_are_named_where_they_are(changes: dict[str, Any], message: str) -> None:
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the whole message is compared below)
        make_grid(fields, "grid.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_file_that_ships_is_a_grid(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(make_study(FIELDS, "x").to_yaml())
    assert load_grid(tmp_path / "study.yaml").members[0].rates == load_study(tmp_path / "study.yaml").rates
