"""The same study gives the same bytes, whoever computes it, and a result says what it was made with."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from experiments.study_files import load_study
from tests.install_support import build_wheel, find_python, install

OURS = f"3.{sys.version_info.minor}"
HERE = [sys.executable, "-c", "from experiments.cli import main; main()"]
STUDY = """
workload: {lengths: azure-conv, arrivals: gamma, cv: 2}
rates: [6]
window: 20
profile: a100-80gb/llama-3-8b/tp1+vllm-2024
policies: [fcfs, chunked_prefill, sjf_predicted, andes, "fcfs@pace:speed=8"]
seeds: [7, 3]
slo: {ttft: 1, tbt: 0.1}
user: {speed: age}
impatience: 30
prediction_sigma: 0.5
"""
BYTES_DEPEND_ON = ("numpy", "pandas", "pyarrow", "scipy")
"""Parquet files name the pandas and pyarrow that wrote them."""


def tables(smoothserve: Sequence[str], folder: Path, *options: str) -> dict[str, bytes]:
    """The bytes of every table, and of the study, that `smoothserve compare` makes of STUDY in a folder of its own."""
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    command = [*smoothserve, "compare", "study.yaml", "--out", "out", "--quiet", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    out = folder / "out"
    files = [path for path in out.rglob("*") if path.suffix in (".csv", ".parquet", ".yaml")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproducible")


@pytest.fixture(scope="module")
def alone(home: Path) -> dict[str, bytes]:
    return tables(HERE, home / "alone", "--jobs", "1")


@pytest.fixture(scope="module")
def wheel(home: Path) -> Path:
    return build_wheel(home / "wheel")


def test_every_table_is_compared(alone: dict[str, bytes]) -> None:
    assert sum(name.startswith("requests/") for name in alone) == 10
    whole = {name for name in alone if not name.startswith("requests/")}
    assert whole == {"summary.csv", "summary.parquet", "runs.parquet", "latencies.parquet", "study.yaml"}


def test_workers_change_no_byte(alone: dict[str, bytes], home: Path) -> None:
    shared_out = tables(HERE, home / "two", "--jobs", "2")
    assert [name for name in alone if alone[name] != shared_out.get(name)] == []
    assert shared_out.keys() == alone.keys()


def test_other_seeds_change_every_table(alone: dict[str, bytes], home: Path) -> None:
    other = tables(HERE, home / "other", "--seed", "8", "--jobs", "1")
    common = alone.keys() & other.keys()
    assert {"summary.csv", "summary.parquet", "runs.parquet"} <= common
    assert [name for name in common if alone[name] == other[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("minor", [minor for minor in ("3.11", "3.12", "3.13") if minor != OURS])
def test_another_python_changes_no_byte(minor: str, alone: dict[str, bytes], wheel: Path, home: Path) -> None:
    python = find_python(minor)
    if python is None:
        pytest.skip(f"there is no Python {minor} here")
    pins = [f"{name}=={version(name)}" for name in BYTES_DEPEND_ON]
    commands = install(python, home / f"venv-{minor}", wheel, pins)
    there = tables([str(commands / "smoothserve")], home / minor)
    meta = json.loads((home / minor / "out" / "meta.json").read_text(encoding="utf-8"))
    assert meta["python"].startswith(f"{minor}.")
    assert [name for name in alone if alone[name] != there.get(name)] == []
    assert there.keys() == alone.keys()


def test_a_result_says_what_it_was_made_with(alone: dict[str, bytes], home: Path) -> None:
    meta = json.loads((home / "alone" / "out" / "meta.json").read_text(encoding="utf-8"))
    assert meta["version"] == version("smoothserve")
    assert meta["python"] == platform.python_version()
    assert {"numpy", "pandas", "pyarrow", "scipy", "simpy"} <= meta["libraries"].keys()
    assert meta["libraries"] == {name: version(name) for name in meta["libraries"]}


def test_a_result_holds_its_study_in_full(alone: dict[str, bytes], home: Path) -> None:
    given, kept = (load_study(home / "alone" / name) for name in ("study.yaml", "out/study.yaml"))
    assert kept.model_dump(exclude={"name"}) == given.model_dump(exclude={"name"})
    assert kept.seeds == (7, 3)
    written = alone["study.yaml"].decode()
    assert all(f"{field}:" in written for field in ("limits", "oversize", "max_num_seqs", "block_size", "watermark"))
