"""`python -m experiments.trust.mutation COVERAGE.json TIMES.xml`: do tests notice mistakes in metrics and policies?"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, NamedTuple
from xml.etree import ElementTree

import typer

from experiments.module_command import run_module
from experiments.trust.markdown import table
from experiments.trust.mutants import Mutant, mutants, mutate

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
ROOT = Path(__file__).parents[2]
SUBJECTS = ("simulator/metrics/*.py", "policies/*.py", "policies/andes/*.py")
LEFT_OUT = ("policies/checks.py",)
"""It is itself a test suite."""
OF_DECLARATIONS = ("tests/test_policies_parameters.py", "tests/test_presets.py", "tests/test_metrics_users.py")
"""Tests of defaults and limits, which are computed when a module is imported, by no test."""
BUDGET = 30.0
"""Seconds of tests that a mutant has to survive."""
MEMORY_BYTES = 8 * 2**30
"""Of a process of tests: a mutant may want all there is."""
OUTCOMES = ("killed", "survived", "timed out")
_NO_TESTS = 5
"""Exit code of pytest where it found none."""
_NOT_COPIED = shutil.ignore_patterns(".*", "results", "dist")


class Judged(NamedTuple):
    """What came of a mutant of the module at `path`: `before` became `after`."""

    path: str
    line: int
    before: str
    after: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.outcome} {self.path}:{self.line} {self.before!r} -> {self.after!r}"


class ClosestTests:
    """Which tests pass through which line, and how long they take: `pytest --cov-context=test --junitxml=…`."""

    def __init__(self, coverage: Path, durations: Path) -> None:
        self._lines: dict[str, dict[int, set[str]]] = {
            path: {int(line): {_node_id(name) for name in names if name} for line, names in entry["contexts"].items()}
            for path, entry in json.loads(coverage.read_text(encoding="utf-8"))["files"].items()
        }
        self._seconds = {
            f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}": float(case.attrib["time"])
            for case in ElementTree.parse(durations).iter("testcase")
        }

    def of(self, path: str, line: int) -> list[str]:
        """The fastest tests of a line, or of its module if none runs it: as many as take BUDGET, and at least one.

        A line that none runs is a declaration; the tests of those that are anybody's come before the others.
        """
        lines = self._lines.get(path, {})
        names = sorted(lines.get(line) or set().union(*lines.values()), key=lambda name: (self._seconds[name], name))
        spent = accumulate(self._seconds[name] for name in names)
        chosen = [name for i, (name, so_far) in enumerate(zip(names, spent, strict=True)) if so_far <= BUDGET or i == 0]
        return chosen if lines.get(line) else [*OF_DECLARATIONS, *chosen]


def _node_id(context: str) -> str:
    return context.rpartition("|")[0]


def judge(tree: Path, path: str, mutant: Mutant, tests: Sequence[str], limit: float) -> Judged:
    """What these tests make of a mutant in the copy at `tree`, which is as before afterwards; limit: their seconds."""
    module = tree / path
    original = module.read_bytes()
    before, after, source = mutate(original.decode(), mutant)
    module.write_text(source, encoding="utf-8")
    try:
        return Judged(path, mutant.line, before, after, _outcome(tree, tests, limit))
    finally:
        module.write_bytes(original)


def _outcome(tree: Path, tests: Sequence[str], limit: float) -> str:
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", "", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            timeout=limit,
            capture_output=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=_bounded,
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    if done.returncode == _NO_TESTS:
        raise RuntimeError(f"none of these tests is there: {', '.join(tests)}")
    return "survived" if done.returncode == 0 else "killed"


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def sample(size: int, seed: int) -> list[tuple[str, Mutant]]:
    """That many mutants of the subjects, drawn without replacement and in random order."""
    paths = [path.relative_to(ROOT).as_posix() for pattern in SUBJECTS for path in sorted(ROOT.glob(pattern))]
    every = [
        (path, mutant)
        for path in paths
        if path not in LEFT_OUT
        for mutant in mutants((ROOT / path).read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(every, min(size, len(every)))


def results_table(judged: Sequence[Judged]) -> str:
    """Mutants of each module by outcome."""
    counts = Counter((each.path, each.outcome) for each in judged)
    paths = sorted({each.path for each in judged})
    return table(
        ["module", "mutants", *OUTCOMES],
        [[path, *_counted([counts[path, outcome] for outcome in OUTCOMES])] for path in paths]
        + [["all", *_counted([sum(counts[path, outcome] for path in paths) for outcome in OUTCOMES])]],
    )


def _counted(numbers: Sequence[int]) -> list[str]:
    return [str(number) for number in (sum(numbers), *numbers)]


@app.command()
def main(
    coverage: Annotated[Path, typer.Argument(metavar="COVERAGE.json")],
    durations: Annotated[Path, typer.Argument(metavar="TIMES.xml")],
    size: Annotated[int, typer.Option("--sample", min=1, help="How many mutants.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    limit: Annotated[float, typer.Option(help="Seconds for the tests of a mutant.")] = 120.0,
) -> None:
    """Print what becomes of each mutant, and a table at the end."""
    try:
        tests = ClosestTests(coverage, durations)
    except LookupError as error:
        raise ValueError(f"a file lacks {error}") from None
    except ElementTree.ParseError as error:
        raise ValueError(f"{durations}: {error}") from None
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
        for path, mutant in sample(size, seed):
            judged.append(judge(tree, path, mutant, tests.of(path, mutant.line), limit))
            typer.echo(judged[-1])
    typer.echo(results_table(judged))


if __name__ == "__main__":
    run_module(app, "experiments.trust.mutation")
