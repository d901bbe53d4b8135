"""Sweeps: what is in the store is not run again, whatever became of it, and the table is always the same."""

from __future__ import annotations

import json
import shutil
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.aggregate import rows
from experiments.cells import run_cell
from experiments.cli import main
from experiments.runner import run_study
from experiments.sweep import filler
from experiments.sweep.batches import take_batch
from experiments.sweep.drive import NoWorkers, outcomes
from experiments.sweep.grid import load_grid
from experiments.sweep.rows import from_bytes, from_table, to_bytes, to_table
from experiments.sweep.run import run_sweep
from experiments.sweep.tasks import Outcome, Task, tasks_of
from tests.sweep_support import OTHER_PROFILE, PROFILE, cell_files, grid, keys, outputs, table


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("sweeps") / "filled"
    assert run_sweep(grid(), store, jobs=1).num_run == 8
    return store


def copy(store: Path, to: Path) -> Path:
    shutil.copytree(store, to)
    return to


def test_table_is_in_the_order_of_the_grid(filled: Path) -> None:
    found = table(filled)[["workload", "profile", "rate", "policy", "seed"]]
    order = [(rate, policy, seed) for rate in (4, 2) for policy in ("lcfs", "fcfs") for seed in (0, 1)]
    labels = [("azure-conv", PROFILE, *cell) for cell in order]
    assert [*found.itertuples(index=False, name=None)] == labels


def test_cells_hold_what_a_study_finds(filled: Path) -> None:
    study = grid().members[0]
    results = run_study(study, jobs=1)
    found = table(filled).set_index(["rate", "policy", "seed"])
    for result in results:
        values = found.loc[(result.cell.rate, result.cell.policy, result.cell.seed)]
        for name, value in result.values.items():
            assert values[name] == value or (value != value and values[name] != values[name])
    summary = pd.read_parquet(filled / "summary.parquet").set_index(["rate", "policy"])
    for row in rows(results):
        assert summary.loc[(row.rate, row.policy), "e2e_mean"] == row.values["e2e_mean"].mean
        assert summary.loc[(row.rate, row.policy), "e2e_mean_half_width"] == row.values["e2e_mean"].half_width


def test_a_row_reads_back_as_the_result_and_has_the_same_bytes_again() -> None:
    study = grid(
        workload={"classes": [{"name": "a", "lengths": "azure-conv"}, {"name": "b", "lengths": "sharegpt"}]}
    ).members[0]
    cell = tasks_of(grid().studies()[0])[0].cell
    result = run_cell(study, cell)
    data = to_bytes(to_table(result, {"workload": "w", "profile": "p"}))
    assert data == to_bytes(to_table(run_cell(study, cell), {"workload": "w", "profile": "p"}))
    again = from_table(from_bytes(data), cell)
    assert list(again.values) == list(result.values)
    assert repr(again.values) == repr(result.values)
    assert repr(dict(again.classes)) == repr(dict(result.classes))
    assert all((again.latencies[name] == result.latencies[name]).all() for name in ("ttft", "tbt"))


def test_nothing_runs_twice(filled: Path, tmp_path: Path) -> None:
    store = copy(filled, tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in (store / "cells").iterdir()}
    assert run_sweep(grid(name="renamed"), store, jobs=1).num_run == 0
    assert {path: path.stat().st_mtime_ns for path in (store / "cells").iterdir()} == before
    assert run_sweep(grid(policies=["lcfs", "fcfs", "edf"]), store, jobs=1).num_run == 4
    assert (store / "table.parquet").read_bytes() != (filled / "table.parquet").read_bytes()
    assert run_sweep(grid(), store, jobs=1).num_run == 0
    assert outputs(store) == outputs(filled)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:100] + b"?" + data[101:]]
)
def test_damaged_cells_are_found_and_run_again(
    filled: Path, tmp_path: Path, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = copy(filled, tmp_path / "store")
    path = sorted((store / "cells").iterdir())[3]
    path.write_bytes(damage(path.read_bytes()))
    assert run_sweep(grid(), store, jobs=1, quiet=False).num_run == 1
    assert f"{path} is damaged" in capsys.readouterr().err
    assert cell_files(store) == cell_files(filled)
    assert outputs(store) == outputs(filled)


def test_missing_cells_run_again_and_leftovers_go(filled: Path, tmp_path: Path) -> None:
    store = copy(filled, tmp_path / "store")
    for path in sorted((store / "cells").iterdir())[:3]:
        path.unlink()
    (store / "tmp" / "elsewhere.7.ab.partial").write_bytes(b"being written on another machine")
    (store / "table.parquet").unlink()
    assert run_sweep(grid(), store, jobs=1).num_run == 3
    assert outputs(store) == outputs(filled)
    assert [path.name for path in (store / "tmp").iterdir()] == ["elsewhere.7.ab.partial"]


def test_cells_follow_their_workloads_name(filled: Path, tmp_path: Path) -> None:
    store = copy(filled, tmp_path / "store")
    renamed = grid(workload=None, workloads={"chat": {"lengths": "azure-conv"}})
    assert run_sweep(renamed, store, jobs=1).num_run == 0
    assert set(pd.read_parquet(store / "cells").workload) == set(table(store).workload) == {"chat"}
    assert keys(store) == keys(filled)
    run_sweep(grid(), store, jobs=1)
    assert cell_files(store) == cell_files(filled)


def test_requests_are_kept_if_asked_for(filled: Path, tmp_path: Path) -> None:
    store = copy(filled, tmp_path / "store")
    assert run_sweep(grid(), store, jobs=1, keep_requests=True).num_run == 8
    assert run_sweep(grid(), store, jobs=1, keep_requests=True).num_run == 0
    assert cell_files(store) == cell_files(filled)
    requests = pd.read_parquet(store / "requests")
    assert list(requests.columns[:5]) == ["workload", "profile", "policy", "rate", "seed"]
    assert (requests.groupby(["rate", "policy", "seed"]).size() == 10).all()
    next((store / "requests").iterdir()).write_bytes(b"")
    assert run_sweep(grid(), store, jobs=1).num_run == 0
    assert run_sweep(grid(), store, jobs=1, keep_requests=True).num_run == 1


def test_cells_of_other_grids_stay_until_pruned(filled: Path, tmp_path: Path) -> None:
    store = copy(filled, tmp_path / "store")
    less = run_sweep(grid(rates=[2]), store, jobs=1)
    assert (less.num_cells, less.num_run, less.num_others) == (4, 0, 4)
    assert len(table(store)) == 4
    assert keys(store) == keys(filled)
    assert run_sweep(grid(rates=[2]), store, jobs=1, prune=True).num_others == 0
    assert len(keys(store)) == 4


def test_failing_cells_are_recorded_and_tried_again(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with monkeypatch.context() as patched:
        patched.setattr(filler, "do_task", failing)
        swept = run_sweep(grid(), store, jobs=1)
    assert [(str(task), *failure) for task, failure in swept.failed] == [
        (f"azure-conv, {PROFILE}, lcfs, {rate} req/s, seed 1", "RuntimeError", "no", "trace") for rate in (4, 2)
    ]
    assert len(table(store)) == 6
    records = [json.loads(path.read_text()) for path in (store / "failed").iterdir()]
    assert {(r["policy"], r["seed"], r["error"], r["message"]) for r in records} == {("lcfs", 1, "RuntimeError", "no")}
    assert run_sweep(grid(), store, jobs=1).num_run == 2
    assert not list((store / "failed").iterdir())
    assert outputs(store) == outputs(filled)


def failing(task: Task, sweep: str, with_requests: bool) -> Outcome:
    from experiments.sweep.tasks import Failure, do_task

    if (task.cell.policy, task.cell.seed) == ("lcfs", 1):
        return Outcome(task.key, None, Failure("RuntimeError", "no", "trace"))
    return do_task(task, sweep, with_requests)


def test_precision_adds_seeds_that_are_kept_too(tmp_path: Path) -> None:
    precise = grid(precision=0.02, max_seeds=7, rates=[2], policies=["fcfs"])
    swept = run_sweep(precise, tmp_path / "store", jobs=1)
    assert swept.num_run == swept.num_cells == 7
    assert run_sweep(precise, tmp_path / "store", jobs=1).num_run == 0
    assert run_sweep(grid(seeds=7, rates=[2], policies=["fcfs"]), tmp_path / "store", jobs=1).num_run == 0


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ab")), max_size=6), st.integers(1, 5))
def test_batches_are_all_cells_in_their_order_and_short_at_the_end(groups: list[tuple[int, str]], workers: int) -> None:
    cells = [(name, i) for size, name in groups for i in range(size)]
    waiting, taken = deque(cells), []
    while batch := take_batch(waiting, lambda cell: cell[0], workers):
        assert len({name for name, _ in batch}) == 1
        assert len(batch) == 1 or (workers > 1 and len(batch) <= min(4, (len(cells) - len(taken)) // (2 * workers)))
        taken += batch
    assert taken == cells


def test_cells_with_one_workload_go_together() -> None:
    waiting = deque("aaaaaabbbcd" + "e" * 14)
    batches = list(iter(partial(take_batch, waiting, str, 2), []))
    assert ["".join(batch) for batch in batches] == ["aaaa", "aa", "bbb", "c", "d", "eee", "ee", "ee", *"eeeeeee"]
    assert list(iter(partial(take_batch, deque("aab"), str, 1), [])) == [["a"], ["a"], ["b"]]


class Mortal:
    """Workers of which one dies of certain cells, and all of them if they are all `dead`; the last called ends first.

    num: how many there are; given: what each was given, in order. deaths: after so many nobody dies any more.
    """

    num = 2

    def __init__(self, deadly: str, dead: bool = False, deaths: int = 10**9) -> None:
        self.deadly, self.dead, self.deaths = deadly, dead, deaths
        self.given: list[Any] = []

    def results(self, call: Any, arguments: Any, num: int | None = None) -> Any:
        if self.dead:
            raise OSError("gone")
        ahead = []
        for argument in arguments:
            self.given.append(argument)
            ahead.append(argument)
            if len(ahead) == 4 or num is not None:
                yield self._do(call, ahead.pop())
        while ahead:
            yield self._do(call, ahead.pop())

    def _do(self, call: Any, argument: Any) -> Any:
        cells = argument if isinstance(argument, list) else [argument]
        deadly = any(isinstance(cell, Task) and cell.cell.policy == self.deadly for cell in cells)
        if deadly and self.deaths > 0:
            self.deaths -= 1
            raise OSError("killed")
        return call(argument)


def outcomes_of(pool: Any, tasks: list[Task], said: list[str]) -> dict[str, Outcome]:
    """Outcomes by key; no task has two, and each has its own."""
    done: dict[str, Outcome] = {}
    for task, outcome in outcomes(pool, tasks, lambda task: Outcome(task.key, None), said.append):
        assert outcome.key == task.key not in done
        done[task.key] = outcome
    assert set(done) == {task.key for task in tasks}
    return done


def test_workers_get_batches_of_cells_with_one_workload() -> None:
    tasks = tasks_of(grid(policies=["fcfs", "lcfs", "edf"], seeds=3).studies()[0])
    pool = Mortal("nobody")
    outcomes_of(pool, tasks, [])
    assert [task for batch in pool.given for task in batch] == tasks
    assert [len(batch) for batch in pool.given] == [3, 3, 3, 2, *[1] * 7]
    assert all(len({(task.cell.rate, task.cell.seed) for task in batch}) == 1 for batch in pool.given)


def test_the_cell_that_kills_its_worker_fails_and_no_other() -> None:
    tasks = tasks_of(grid().studies()[0])
    said: list[str] = []
    done = outcomes_of(Mortal("lcfs"), tasks, said)
    for task in tasks:
        assert (done[task.key].failure is not None) == (task.cell.policy == "lcfs")
    assert any("worker died" in line for line in said)


@pytest.mark.parametrize(("deaths", "batches"), [(1, 0), (2, 1), (3, 2)])
def test_cells_that_survive_when_tried_again_are_done(deaths: int, batches: int) -> None:
    tasks = tasks_of(grid(policies=["fcfs", "lcfs", "edf"], seeds=3).studies()[0])
    pool, said = Mortal("lcfs", deaths=deaths), list[str]()
    assert all(outcome.failure is None for outcome in outcomes_of(pool, tasks, said).values())
    assert sum(isinstance(each, Task) for each in pool.given) <= 4 * batches  # had the workers to themselves
    assert max(len(each) for each in pool.given if isinstance(each, list)) > 1


def test_a_batch_that_a_dying_worker_s_thread_takes_late_is_not_lost() -> None:
    class Late:
        num = 2
        old: Any = None

        def results(self, call: Any, arguments: Any, num: int | None = None) -> Any:
            if self.old is None:
                self.old = arguments
                next(arguments)
                raise OSError("killed")
            old, self.old = self.old, iter(())
            next(old, None)
            for batch in arguments:
                yield call(batch)

    outcomes_of(Late(), tasks_of(grid().studies()[0]), [])


def test_a_backend_without_workers_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.sweep.drive._PAUSES", (0.0, 0.0))
    pool: Any = Mortal("lcfs", dead=True)
    with pytest.raises(NoWorkers, match="no worker answers"):
        list(outcomes(pool, tasks_of(grid().studies()[0]), lambda t: Outcome(t.key, None), lambda line: None))


@pytest.mark.parametrize(
    ("change", "options", "piece"),
    [
        ("policies: [fcsf]", [], "did you mean fcfs"),
        ("profile: a100", [], "a100"),
        ("workload: {trace: none.csv}", [], "none.csv: No such file"),
        ("", ["--backend", "spark"], "loky, ray, dask"),
        ("", ["--address", "x:1"], "x:1"),
        ("", ["--out", "full"], "full"),
        ("", ["--out", "stray"], "cells/notes.parquet"),
    ],
)
def test_wrong_input_is_found_before_anything_runs(
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    options: list[str],
    piece: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    fields = {"workload": "{lengths: azure-conv}", "profile": PROFILE, "policies": "[fcfs]"}
    fields |= dict([change.split(": ", 1)]) if change else {}
    Path("grid.yaml").write_text("requests: 5\nrates: [2]\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()))
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    copy(filled, tmp_path / "stray")
    Path("stray/cells/notes.parquet").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", "grid.yaml", "--jobs", "1", *options])
    _, err = capsys.readouterr()
    assert exit_.value.code == 2
    assert err.count("\n") == 1
    assert piece in err
    assert sorted(tmp_path.rglob("*")) == before


def test_command_prints_rows_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grid.yaml").write_text(grid(profile=None, profiles=[PROFILE, OTHER_PROFILE], rates=[2]).to_yaml())
    command = ["sweep", str(tmp_path / "grid.yaml"), "--out", str(tmp_path / "s"), "--jobs", "1", "--json", "--quiet"]
    with pytest.raises(SystemExit) as exit_:
        main(command)
    out, err = capsys.readouterr()
    assert (exit_.value.code, err) == (0, "")
    found = json.loads(out)
    assert (found["num_cells"], found["num_run"], found["num_failed"]) == (8, 8, 0)
    assert [(row["profile"], row["policy"], row["num_seeds"]) for row in found["results"]] == [
        (profile, policy, 2) for profile in (PROFILE, OTHER_PROFILE) for policy in ("lcfs", "fcfs")
    ]
    assert load_grid(tmp_path / "s" / "sweep.yaml") == load_grid(tmp_path / "grid.yaml")
