"""What tests of the built wheel share: building it, and environments of their own outside the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built into `folder`."""
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("smoothserve-*.whl")
    return wheel


def install(python: str, folder: Path, wheel: Path, pins: Sequence[str] = ()) -> Path:
    """The folder of commands of a new environment in `folder` that holds the wheel and what it needs.

    pins: requirements such as `numpy==2.4.6`, which go over the wheel's own.
    """
    _run([python, "-m", "venv", str(folder)])
    commands = folder / "bin"
    _run([str(commands / "python"), "-m", "pip", "install", "--quiet", str(wheel), *pins])
    return commands


def find_python(minor: str) -> str | None:
    """A working interpreter of the version "3.x": on the PATH, or one that pyenv keeps."""
    kept = (Path.home() / ".pyenv" / "versions").glob(f"{minor}.*/bin/python")
    for candidate in filter(None, (shutil.which(f"python{minor}"), *map(str, sorted(kept)))):
        said = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        if said.returncode == 0 and said.stdout.startswith(f"Python {minor}."):
            return candidate
    return None


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
