"""Policies of other packages that are not what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli import main
from policies import make_policy, policy_names
from policies.registry import UnknownPolicy, policy_class
from simulator import OraclePolicy
from tests.outside_policies import install


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose policies are `gone`, `absent` and `a_number`."""
    points = ("gone = broken_policies_gone:P", "absent = broken_policies:P", "a_number = broken_policies:seven")
    install(tmp_path, "broken_policies", "seven = 7\n", *points)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"^policy 'gone': broken_policies_gone:P cannot be loaded: No module named 'broken_policies_gone'$"),
        ("absent", r"^policy 'absent': broken_policies:P cannot be loaded: .*has no attribute 'P'$"),
        ("a_number", r"^policy 'a_number': 7 is not a SchedulerPolicy$"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_name(name: str, message: str) -> None:
    assert name in policy_names()
    with pytest.raises(ValueError, match=message):
        make_policy(name)


@pytest.mark.usefixtures("outside")
def test_a_policy_that_cannot_be_hides_no_other_from_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policies"])
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "chunked_prefill: " in said.out
    assert [line.split("'")[1] for line in said.err.splitlines()] == ["a_number", "absent", "gone"]


def test_an_unknown_name_has_an_error_of_its_own() -> None:
    with pytest.raises(UnknownPolicy, match=r"^unknown policy 'fcsf'; did you mean fcfs"):
        policy_class("fcsf")


def test_what_is_no_parameter_is_refused_with_the_policy_that_was_asked_for() -> None:
    with pytest.raises(ValueError, match=r"^policy 'fcfs:fast': 'fast' is not of the form parameter=value$"):
        make_policy("fcfs:fast")


def test_whoever_sees_output_lengths_says_so_in_its_name() -> None:
    with pytest.raises(TypeError, match="Knows sees output lengths, so its name must contain 'oracle', not 'knows'"):
        type("Knows", (OraclePolicy,), {"name": "knows"})
