"""What the tests of sweeps share: small grids, policies that fail, and sweeps as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.sweep.grid import GridSpec, make_grid
from tests.outside_policies import install

PROFILE = "a100-80gb/llama-3-8b/tp1"
OTHER_PROFILE = "h100-80gb/llama-3-8b/tp1"
FIELDS: dict[str, Any] = {
    "name": "small",
    "workload": {"lengths": "azure-conv"},
    "rates": [4, 2],
    "requests": 10,
    "profile": PROFILE,
    "policies": ["lcfs", "fcfs"],
    "slo": {"ttft": 1, "tbt": 0.1},
    "seeds": 2,
}
OUTPUTS = ("table.parquet", "summary.csv", "summary.parquet", "sweep.yaml")
FAILING = """
import os
from policies.fcfs import Fcfs

class Deadly(Fcfs):
    name = "deadly"
    def plan(self, view):
        os._exit(1)

class Raising(Fcfs):
    name = "raising"
    def plan(self, view):
        raise RuntimeError("has no plan\\nwhatever happens")
"""


def grid(**changes: Any) -> GridSpec:
    """The small grid of 8 cells with other fields; those that are None are left out."""
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    return make_grid(fields, "test")


def outputs(store: Path) -> dict[str, bytes]:
    """The bytes of what a sweep writes beside its cells."""
    return {name: (store / name).read_bytes() for name in OUTPUTS}


def cell_files(store: Path) -> dict[str, bytes]:
    """The bytes of every cell, by the name of its file."""
    return {path.name: path.read_bytes() for path in (store / "cells").iterdir()}


def keys(store: Path) -> set[str]:
    """The keys of the cells that a store holds."""
    return {name.partition("-")[0] for name in cell_files(store)}


def table(store: Path) -> pd.DataFrame:
    """The table of all cells."""
    return pd.read_parquet(store / "table.parquet")


def install_failing_policies(site: Path) -> None:
    """Put a distribution with the policies `deadly` and `raising` into a folder for PYTHONPATH."""
    install(site, "failing", FAILING, "deadly = failing:Deadly", "raising = failing:Raising")


def start(*arguments: str, site: Path | None = None) -> subprocess.Popen[str]:
    """`smoothserve sweep` in a process group of its own; site: a folder for its PYTHONPATH."""
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
    command = [sys.executable, "-c", "from experiments.cli import main; main()", "sweep", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def run(*arguments: str, site: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `smoothserve sweep`."""
    with start(*arguments, site=site) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err
