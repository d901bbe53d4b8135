"""`smoothserve profiles`: what the commands print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from experiments.profiles_cli import app
from hardware_profiles import load_profile, profile_names
from hardware_profiles.tables import Row, write_table
from simulator.latency import Batch

H100 = "h100-80gb/llama-3-8b/tp1"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_list_names_every_profile() -> None:
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(profile_names())
    assert {row["kind"] for row in rows} == {"measured", "composed", "derived", "estimated"}
    assert H100 in run("list").stdout


def test_show_says_what_a_profile_rests_on_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    shown = run("show", f"{H100}+vllm-2024", "--picture", picture).stdout
    for words in ("composed", "Apache-2.0", "KV capacity: 451,567 tokens", "unseen rows", "warning: ", "of the peak"):
        assert words in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("show", H100, "--json").stdout)["coefficients"]["t0"]["unit"] == "s"


def test_profile_fitted_to_a_table_passes_the_check_on_it(tmp_path: Path) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "mine.yaml"
    write_table(_rows(), table)
    fitted = run("fit", table, "--device", "h100-80gb", "--model", "llama-3-8b", "--out", out, "--cpu-time")
    assert fitted.exit_code == 0
    assert "unseen rows" in fitted.stdout
    assert load_profile(out).overhead == "none"
    result = json.loads(run("check", out, table, "--json", "--worst", 2).stdout)
    assert result["mape"] < 1
    assert result["num_rows"] == len(_rows())
    assert len(result["worst"]) == 2
    assert result["worst"][0]["error"] >= result["p95"]
    assert "95th percentile" in run("check", out, table).stdout


def test_check_of_the_profile_that_made_the_rows_finds_no_error(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    write_table(_rows(), table)
    assert json.loads(run("check", H100, table, "--json").stdout)["mape"] == pytest.approx(0, abs=1e-3)


def test_estimate_from_a_configuration(tmp_path: Path) -> None:
    config, out = tmp_path / "config.json", tmp_path / "mine.yaml"
    shape = {"hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 16, "num_hidden_layers": 16}
    config.write_text(json.dumps(shape | {"vocab_size": 32000, "_name_or_path": "me/Small"}))
    assert run("estimate", "--device", "l40s-48gb", "--config", config, "--out", out).exit_code == 0
    assert load_profile(out).name == "l40s-48gb/small/tp1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("show", "h100-80gb/llama-3-8b"),
            "'h100-80gb/llama-3-8b'; did you mean h100-80gb/llama-3-8b/tp",
        ),
        (("estimate", "--device", "h100"), "unknown device 'h100'; did you mean h100-80gb"),
        (("estimate", "--device", "h100-80gb"), "give one of --model NAME and --config FILE"),
        (("estimate", "--device", "a30-24gb", "--model", "llama-3-70b"), "llama-3-70b does not fit on 1 × a30-24gb"),
    ],
)
def test_wrong_input_is_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    error = run(*arguments).exception
    assert isinstance(error, ValueError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_fit_names_the_table_that_it_refuses(tmp_path: Path) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "mine.yaml"
    write_table(_rows()[:9], table)
    error = run("fit", table, "--device", "h100-80gb", "--model", "llama-3-8b", "--out", out).exception
    assert str(error) == f"{table}: 9 rows are too few for a fit: at least 16 are needed"
    assert not out.exists()


def _rows() -> list[Row]:
    """Iterations that take exactly as long as the H100 profile says."""
    latency = load_profile(H100).latency
    rows = []
    for n in (16, 64, 128, 256, 512, 1024, 2048, 4096):
        for context in (0, 1000, 4000):
            pairs = n * context + n * (n + 1) // 2
            for batch, kv in ((0, 0), (4, 4000), (64, 40_000)):
                duration = latency.step_time(Batch(n, context, pairs, batch, kv, 1 + batch))
                kind = "hybrid" if batch else "prefill"
                rows.append(Row(kind, 1, n, context, pairs, batch, kv, duration, "test"))
    for batch in (1, 4, 16, 64, 200):
        for kv in (batch * 16, batch * 200, batch * 1000):
            duration = latency.step_time(Batch(0, 0, 0, batch, kv, batch))
            rows.append(Row("decode", 0, 0, 0, 0, batch, kv, duration, "test"))
    return rows
