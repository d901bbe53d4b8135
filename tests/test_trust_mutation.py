"""Mutants of a module, the tests that are asked about them, and what counts as killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.trust import mutation
from experiments.trust.mutants import Mutated, mutants, mutate
from experiments.trust.mutation import OF_DECLARATIONS, ClosestTests, Judged, judge, results_table, sample

MODULE = """\
def share(part: float, whole: float=2) -> float:
    if not whole:
        return 0.0
    return part / whole
"""
TESTS = """\
import time
from subject import share

def test_share():
    assert share(1.0, 4.0) == 0.25

def test_waits_for_ever_if_the_share_of_nothing_is_not_nothing():
    while share(1.0, 0.0) != 0.0:
        time.sleep(0.01)
"""


def changes(source: str) -> list[str]:
    made = (mutate(source, mutant) for mutant in mutants(source))
    return [f"{each.before} -> {each.after}" for each in made]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b -> a <= b", "a < b -> a >= b"]),
        ("a == b", ["a == b -> a != b"]),
        ("a < b is c", ["a < b is c -> a <= b is c", "a < b is c -> a >= b is c", "a < b is c -> a < b is not c"]),
        ("a - b", ["a - b -> a + b"]),
        ("a += b", ["a += b -> a -= b"]),
        ("a and b", ["a and b -> a or b"]),
        ("~a & b", ["~a & b -> ~a | b", "~a -> ~~a"]),
        ("not a", ["not a -> not not a"]),
        ("f(True)", ["True -> False"]),
        ("x = 3", ["3 -> 4", "3 -> 2"]),
        ("def f():\n    return g()", ["return g() -> return None"]),
        ("def f():\n    return", []),
        ("@d(1)\ndef f(a: T[2]) -> T[3]: ...", []),
        ("'text'", []),
    ],
)
def test_each_change_is_one_mutant(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


def test_a_mutant_is_its_module_with_one_change() -> None:
    every = [mutate(MODULE, mutant) for mutant in mutants(MODULE)]
    assert len({each.source for each in every}) == len(every) == 7
    assert every[-1] == Mutated("part / whole", "part * whole", MODULE.replace("/", "*").rstrip())
    assert [mutant.line for mutant in mutants(MODULE)] == [1, 1, 2, 3, 3, 4, 4]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "subject.py").write_text(MODULE)
    (tmp_path / "test_subject.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_outcomes_are_those_of_the_tests(tree: Path) -> None:
    default, _, _, _, _, _, ratio = mutants(MODULE)
    judged = [judge(tree, "subject.py", mutant, ["test_subject.py"], limit=60.0) for mutant in (default, ratio)]
    assert [str(each) for each in judged] == [
        "survived subject.py:1 '2' -> '3'",
        "killed subject.py:4 'part / whole' -> 'part * whole'",
    ]
    assert (tree / "subject.py").read_text() == MODULE


def test_a_mutant_that_the_tests_do_not_end_with_is_timed_out(tree: Path) -> None:
    nothing = next(mutant for mutant in mutants(MODULE) if mutant.line == 3)
    name = "test_subject.py::test_waits_for_ever_if_the_share_of_nothing_is_not_nothing"
    assert judge(tree, "subject.py", nothing, [name], limit=2.0).outcome == "timed out"
    assert (tree / "subject.py").read_text() == MODULE


def test_the_fastest_tests_of_a_line_are_asked_as_far_as_the_budget_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutation, "BUDGET", 10.0)
    names = {"tests/test_a.py::test_x[1]": 9.0, "tests/test_a.py::test_y": 0.5, "tests/test_b.py::test_z": 20.0}
    contexts = {"3": ["", *(f"{name}|run" for name in names)], "4": ["tests/test_b.py::test_z|run"], "5": [""]}
    coverage, durations = tmp_path / "coverage.json", tmp_path / "durations.xml"
    coverage.write_text(json.dumps({"files": {"m.py": {"contexts": contexts}}}))
    cases = ""
    for name, seconds in names.items():
        module, _, test = name.partition(".py::")
        cases += f'<testcase classname="{module.replace("/", ".")}" name="{test}" time="{seconds}"/>'
    durations.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    tests = ClosestTests(coverage, durations)
    assert tests.of("m.py", 3) == ["tests/test_a.py::test_y", "tests/test_a.py::test_x[1]"]
    assert tests.of("m.py", 4) == ["tests/test_b.py::test_z"]
    assert tests.of("m.py", 5) == [*OF_DECLARATIONS, *tests.of("m.py", 3)]


def test_a_sample_follows_from_its_seed_and_counts_by_module() -> None:
    drawn = sample(20, 3)
    assert drawn == sample(20, 3) != sample(20, 4)
    judged = [Judged(path, mutant.line, "", "", "killed") for path, mutant in drawn]
    assert results_table(judged).splitlines()[-1] == "| all | 20 | 20 | 0 | 0 |"
