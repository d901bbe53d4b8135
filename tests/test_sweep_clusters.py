"""The same sweep on this machine's cores, on Dask and on Ray, whose clusters are real: the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.sweep.run import run_sweep
from tests.sweep_support import cell_files, grid, install_failing_policies, outputs, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_loky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("clusters") / "loky"
    run_sweep(grid(), store, jobs=2)
    return store


@pytest.fixture
def dask_address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_started_here(backend: str, on_loky: Path, tmp_path: Path) -> None:
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[backend])
    done = run_sweep(grid(), tmp_path / "store", backend=backend, jobs=2)
    assert (done.num_run, done.failed) == (8, [])
    assert outputs(tmp_path / "store") == outputs(on_loky)
    assert cell_files(tmp_path / "store") == cell_files(on_loky)


def test_a_running_dask_cluster_of_two_workers(dask_address: str, on_loky: Path, tmp_path: Path) -> None:
    run_sweep(grid(), tmp_path / "store", backend="dask", address=dask_address)
    assert outputs(tmp_path / "store") == outputs(on_loky)
    assert cell_files(tmp_path / "store") == cell_files(on_loky)


@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_a_cell_that_kills_its_worker_fails_alone(backend: str, on_loky: Path, tmp_path: Path) -> None:
    if backend != "loky":
        pytest.importorskip({"dask": "distributed", "ray": "ray"}[backend])
    site = tmp_path / "site"
    install_failing_policies(site)
    study = tmp_path / "grid.yaml"
    study.write_text(grid().to_yaml().replace("- lcfs", "- deadly"), encoding="utf-8")
    code, out, err = run(str(study), "--out", str(tmp_path / "store"), "--backend", backend, "--jobs", "2", site=site)
    assert code == 1, err
    assert "4 failed" in out
    assert "its worker died" in out
    healthy = set(cell_files(tmp_path / "store"))
    assert len(healthy) == 4
    assert healthy <= set(cell_files(on_loky))
