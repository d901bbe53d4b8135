"""`smoothserve policies`, and the page that shows how to write one."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.policy_views import describe, described_names
from policies.checks import check_policy
from policies.registry import GROUP, policy_names
from tests.outside_policies import install

PAGE = (Path(__file__).parents[1] / "policies" / "README.md").read_text(encoding="utf-8")


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_list_has_every_policy_and_preset(capsys):
    code, out, _ = run(["policies"], capsys)
    assert code == 0
    for name in described_names():
        assert re.search(rf"^{name}( \(|:)", out, re.MULTILINE), name
    assert "token_budget=2048  tokens of an iteration, decodes included, ≥ 1" in out
    assert "arXiv 2403.02310" in out


def test_list_is_json_too(capsys):
    _, out, _ = run(["policies", "--json"], capsys)
    listed = {each["name"]: each for each in json.loads(out)}
    assert list(listed) == described_names()
    assert listed["sarathi"]["kind"] == "engine preset"
    assert listed["chunked_prefill"]["parameters"] == [
        {
            "name": "token_budget",
            "default": "2048",
            "description": "tokens of an iteration, decodes included",
            "range": "≥ 1",
        }
    ]


@pytest.mark.parametrize("name", described_names())
def test_every_policy_says_what_it_does_and_every_parameter_what_it_is(name):
    description = describe(name)
    assert description.summary.endswith(".")
    assert len(description.summary) <= 130
    for parameter in description.parameters:
        assert parameter.description, parameter.name
    assert description.source or name == "lcfs"  # nobody proposes it


def test_show_prints_the_docstring(capsys):
    code, out, _ = run(["policies", "show", "drop_on_miss"], capsys)
    assert code == 0
    assert describe("drop_on_miss").docstring in out
    assert "variant=already_missed" in out
    assert "already_missed or will_miss or before_first_token_only" in out
    assert json.loads(run(["policies", "show", "fcfs", "--json"], capsys)[1])["parameters"] == []


def test_unknown_policy_is_one_line(capsys):
    code, out, err = run(["policies", "show", "fcfss"], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "did you mean fcfs" in err


def test_policy_of_the_page_is_short_conforms_and_competes_from_a_package(tmp_path, monkeypatch, capsys):
    """The page's two blocks, installed as pip would, less the download."""
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    points = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1))["project"]["entry-points"][GROUP]
    assert source.count("\n") < 40
    name, target = next(iter(points.items()))
    site = tmp_path / "site"
    install(site, target.partition(":")[0], source, f"{name} = {target}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    assert name in policy_names()
    check_policy(name, num_cases=5)
    assert describe(name).kind == "policy of another package"
    small = ["--rate", "6", "--requests", "50", "--seeds", "1", "--json", "--quiet"]
    code, out, err = run(["compare", "--policies", f"fcfs,{name}", *small], capsys)
    assert (code, err) == (0, "")
    assert [row["policy"] for row in json.loads(out)["results"]] == ["fcfs", name]
