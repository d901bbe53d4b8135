"""Keys of cells: what changes the numbers changes the key, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.sweep import sources
from experiments.sweep.grid import pinned_grid
from experiments.sweep.sources import policy_modules, source_hash
from experiments.sweep.tasks import check_distinct, tasks_of
from hardware_profiles.loader import data_folder
from policies import make_policy
from tests.sweep_support import PROFILE, grid

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:00.0000000,100,5\n2023-11-16 18:15:02.0000000,90,7\n"
Edit = Callable[[str], None]


def keys(**changes: Any) -> dict[tuple[str, float | None, int], str]:
    """The key of each cell of the small grid with other fields, by policy, rate and seed."""
    (member,) = pinned_grid(grid(**changes)).studies()
    return {(task.cell.policy, task.cell.rate, task.cell.seed): task.key for task in tasks_of(member)}


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """A function that adds a comment to a module, as far as hashes can see."""
    read, edited = sources.read_source, set[str]()
    monkeypatch.setattr(sources, "read_source", lambda module: read(module) + b"# more" * (module in edited))

    def change(module: str) -> None:
        edited.add(module)
        sources._digest.cache_clear()

    yield change
    sources._digest.cache_clear()


def test_keys_are_distinct_and_always_the_same() -> None:
    found = keys()
    assert len(set(found.values())) == len(found) == 8
    assert all(len(key) == 32 for key in found.values())
    assert keys() == found


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"policies": ["edf", "fcfs", "lcfs"]},
        {"rates": [1, 2, 4, 8]},
        {"seeds": [5, 1, 0]},
        {"precision": 0.1, "max_seeds": 9},
        {"oversize": "refuse"},
    ],
)
def test_what_a_cell_does_not_depend_on_keeps_its_key(changes: dict[str, Any]) -> None:
    assert keys(**changes).items() >= keys().items()


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": {"lengths": "azure-code"}},
        {"workload": {"lengths": "azure-conv", "arrivals": "gamma", "cv": 1}},
        {"requests": 11},
        {"profile": f"{PROFILE}+vllm-2024"},
        {"slo": {"ttft": 2, "tbt": 0.1}},
        {"user": {"speed": 7}},
        {"delivery": "pace"},
        {"limits": {"max_num_seqs": 8}},
    ],
)
def test_what_a_cell_depends_on_changes_its_key(changes: dict[str, Any]) -> None:
    assert not set(keys(**changes).values()) & set(keys().values())


def test_traces_count_by_content_and_not_by_place(tmp_path: Path) -> None:
    for name, text in (("a.csv", AZURE), ("b.csv", AZURE), ("c.csv", AZURE.replace("100", "101"))):
        (tmp_path / name).write_text(text)
    a, b, c = (keys(workload={"trace": str(tmp_path / f"{name}.csv")}) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_profile_files_count_by_content_and_not_by_place(tmp_path: Path) -> None:
    text = data_folder("profiles").joinpath(f"{PROFILE}.yaml").read_text(encoding="utf-8")
    assert "kv_capacity" in text
    for name, content in (("a", text), ("b", "# a comment\n" + text), ("c", text.replace("licence: ", "licence: x"))):
        (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
    a, b, c = (keys(profile=str(tmp_path / f"{name}.yaml")) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


@pytest.mark.parametrize("module", ["experiments.report", "experiments.plots", "policies.andes.policy", "policies.edf"])
def test_sources_that_the_cell_does_not_import_do_not_count(edit: Edit, module: str) -> None:
    before = keys()
    edit(module)
    assert keys() == before


@pytest.mark.parametrize(
    "module",
    [
        "simulator.replica",
        "simulator",
        "simulator.metrics.summary",
        "hardware_profiles.table_latency",
        "experiments.cells",
        "policies.fcfs",
    ],
)
def test_sources_that_every_cell_imports_count(edit: Edit, module: str) -> None:
    before = keys()
    edit(module)
    assert not set(keys().values()) & set(before.values())


def test_a_policys_sources_count_for_its_own_cells(edit: Edit) -> None:
    before = keys()
    edit("policies.lcfs")
    after = keys()
    assert {cell for cell, key in after.items() if key != before[cell]} == {c for c in before if c[0] == "lcfs"}


def test_a_policy_inside_another_counts(edit: Edit) -> None:
    assert policy_modules(make_policy("drop_on_miss:inner=edf")) == {"policies.drop_on_miss", "policies.edf"}
    spec = "drop_on_miss:inner=edf"
    before = keys(policies=[spec])
    edit("policies.edf")
    assert not set(keys(policies=[spec]).values()) & set(before.values())


def test_imports_are_followed_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "outside"
    (package / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "from . import first",
        "first.py": "def f():\n    from .deep import third\n",
        "deep/__init__.py": "",
        "deep/third.py": "from ..second import value\nimport json, os.path",
        "second.py": "value = 1",
        "unused.py": "value = 2",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def found() -> str:
        for function in (sources._digest, sources._imports, sources._file):
            function.cache_clear()
        return source_hash({"outside"})

    before = found()
    (package / "unused.py").write_text("value = 3")
    assert found() == before
    (package / "second.py").write_text("value = 3")
    assert found() != before


def test_a_module_without_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no source file"):
        source_hash({"no_such_module"})


def test_the_same_run_twice_is_refused() -> None:
    twins = grid(workload=None, workloads={"a": {"lengths": "azure-conv"}, "b": {"lengths": "azure-conv"}})
    with pytest.raises(ValueError, match=r"the same run: a, .*; and b, "):
        check_distinct(task for member in twins.studies() for task in tasks_of(member))
