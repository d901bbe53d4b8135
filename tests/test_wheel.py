"""The built wheel, in an empty environment outside the checkout, does what the checkout does."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from hardware_profiles import profile_names
from policies import policy_names
from simulator.workload import length_table_names
from tests.install_support import ROOT, build_wheel, install

pytestmark = pytest.mark.slow
PACKAGES = ("simulator", "policies", "hardware_profiles", "experiments")


class Installed(NamedTuple):
    """The wheel, the commands of an environment that holds it, and a working folder."""

    wheel: Path
    commands: Path
    folder: Path

    def run(self, command: str, *arguments: str) -> str:
        """What a command of the environment prints, in the working folder."""
        done = subprocess.run(
            [str(self.commands / command), *arguments], cwd=self.folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A working folder with an `experiments` package of its user's, which breaks whoever imports it."""
    home = tmp_path_factory.mktemp("wheel")
    assert ROOT not in home.parents
    stray = home / "work" / "experiments"
    stray.mkdir(parents=True)
    (stray / "__init__.py").write_text("raise ImportError('the wrong experiments')\n")
    wheel = build_wheel(home / "wheels")
    return Installed(wheel, install(sys.executable, home / "venv", wheel), stray.parent)


def test_every_file_of_the_packages_is_in_it_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == there


def test_it_says_its_version(installed: Installed) -> None:
    said = installed.run("smoothserve", "--version").split()
    assert said == ["smoothserve", installed.wheel.name.split("-")[1]]


def test_a_study_runs(installed: Installed) -> None:
    options = ["--rate", "2", "--seeds", "1", "--window", "20", "--out", "X", "--json", "--quiet"]
    result = json.loads(installed.run("smoothserve", "compare", *options))
    assert [row["num_finished"] > 0 for row in result["results"]] == [True, True]
    assert (installed.folder / "X" / "figures" / "goodput.png").is_file()
    installed.run("smoothserve", "report", "X")
    installed.run("smoothserve", "timeline", "X")


def test_it_knows_every_policy_profile_length_table_and_lesson(installed: Installed) -> None:
    policies = installed.run("smoothserve", "policies")
    profiles = installed.run("smoothserve", "profiles", "list")
    assert [name for name in policy_names() if name not in policies] == []
    assert [name for name in profile_names() if name not in profiles] == []
    assert len(installed.run("smoothserve", "learn", "--list").splitlines()) == 8
    code = "from simulator.workload import *; print(*(load_length_table(n).name for n in length_table_names()))"
    assert installed.run("python", "-P", "-c", code).split() == list(length_table_names())


def test_a_demonstration_runs(installed: Installed) -> None:
    (outcome,) = json.loads(installed.run("smoothserve", "demo", "hold-last", "--json", "--quiet"))
    assert outcome["demo"] == "hold-last"
    assert outcome["reproduced"] is True


def test_it_is_typed(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        assert {f"{package}/py.typed" for package in PACKAGES} <= set(archive.namelist())
