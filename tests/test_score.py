"""Scores of benchmark logs: what the command prints and writes, and what a log cannot answer."""

import json
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.benchlogs import read_bench_logs
from experiments.cli import main
from experiments.log_files import save_log
from experiments.score_values import ScoredLog, request_table
from simulator.metrics import SLO, User, per_request, summary_values
from tests.bench_support import AIPERF, GUIDELLM, SGLANG, VLLM, scored

SETTINGS = ["--slo", "ttft:200,tpot:20"]


def run(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["score", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


def results(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    code, out, err = run([*arguments, "--json"], capsys)
    assert (code, err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(out)["results"]
    return rows


@pytest.mark.parametrize(("tpot", "goodput"), [(20, 3.4110), (50, 4.8728)])
def test_vllm_goodput_beside_ours(shared: Path, capsys: pytest.CaptureFixture[str], tpot: int, goodput: float) -> None:
    path = shared / "benchlogs" / "vllm" / "vllm_detailed.json"
    (row,) = results([path, "--slo", f"ttft:200,tpot:{tpot}"], capsys)
    assert row["goodput_requests_per_s_tool"] == pytest.approx(goodput, abs=1e-3)
    assert row["goodput_requests_per_s_reported_tool"] == pytest.approx(3.4110, abs=1e-3)
    good = round(goodput * 12.31313204099979)
    assert row["goodput_requests_per_s"] == pytest.approx(good / row["span"])
    assert row["ttft_tool"]["p99"] == pytest.approx(row["ttft"]["p99"])


def test_tools_say_what_slo_they_were_given(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["sglang/sglang_details.jsonl", "aiperf/profile_export.jsonl", "guidellm/benchmarks.json"]
    rows = results([*(shared / "benchlogs" / name for name in names), "--slo", "ttft:100,tpot:20"], capsys)
    assert [row["slo_tool"] for row in rows] == ["ttft:100,tpot:20"] * 3
    for row in rows:
        assert row["goodput_requests_per_s_tool"] == pytest.approx(row["goodput_requests_per_s_reported_tool"])


def test_a_log_scores_as_its_token_log_does() -> None:
    (bench,) = read_bench_logs(VLLM)
    log = scored(VLLM, "ttft:200,tbt:30", speed=30, alpha=1)
    ours = summary_values(bench.log, SLO(ttft=0.2, tbt=0.03), User(speed=30, alpha=1))
    for key, value in ours.items():
        assert log.values[key] == pytest.approx(value, nan_ok=True), key
    assert log.refused == ()


def test_saved_and_read_again_the_scores_are_the_same(tmp_path: Path) -> None:
    for path in (VLLM, SGLANG, GUIDELLM):
        before = scored(path, "ttft:200,tpot:20")
        save_log(before.bench.log, tmp_path / path.stem)
        after = scored(tmp_path / path.stem, "ttft:200,tpot:20")
        assert after.refused == before.refused
        ours = {key: value for key, value in before.values.items() if not key.endswith("_tool")}
        assert after.values == pytest.approx(ours, nan_ok=True)


def test_metrics_of_the_tokens_between_are_refused() -> None:
    log = scored(GUIDELLM, "ttft:100,tpot:20,e2e:5000")
    for key in ("tbt_mean", "tbt_max_p99", "idle_latency_mean", "smooth_goodput_tokens_per_s", "qoe_mean"):
        assert key in log.refused
        assert isnan(log.values[key])
    for key in ("ttft_p99", "tpot_mean", "e2e_p50", "slo_attainment", "goodput_requests_per_s", "num_tokens"):
        assert key not in log.refused
        assert not isnan(log.values[key])


def test_whatever_a_log_of_ends_answers_does_not_depend_on_the_tokens_between() -> None:
    """The same log with its inner tokens elsewhere scores the same."""
    log = scored(GUIDELLM, "ttft:100,tpot:20,e2e:5000")
    tokens = log.bench.log.token_times()
    moved = tokens.times.copy()
    for first, last in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        moved[first + 1 : last - 1] = moved[first]
    other = summary_values(_with_times(log, moved), SLO(ttft=0.1, tpot=0.02, e2e=5.0), User())
    answered = [k for k, value in log.values.items() if not isnan(value) and not k.endswith("_tool")]
    assert len(answered) > 30
    for key in answered:
        assert other[key] == log.values[key], key


def _with_times(log: ScoredLog, times: Any) -> Any:
    from dataclasses import replace

    tokens = log.bench.log.measured
    assert tokens is not None
    return replace(log.bench.log, measured=tokens._replace(times=times))


@pytest.mark.parametrize("slo", ["tbt:100", "ttft:100,speed:5"])
def test_bounds_on_the_tokens_between_are_refused(slo: str) -> None:
    log = scored(GUIDELLM, slo)
    assert "slo_attainment" in log.refused
    assert isnan(log.values["goodput_requests_per_s"])
    assert isnan(log.values["goodput_requests_per_s_tool"])
    assert any("the tool's goodput is refused" in note for note in log.notes)
    assert request_table(log, SLO.parse(slo), User())["slo_met"].isna().all()


def test_without_submissions_rates_are_per_second_of_the_tools_duration() -> None:
    log = scored(SGLANG, "ttft:200,tpot:20")
    duration = log.bench.log.meta["tool_duration"]
    table = per_request(log.bench.log, SLO(ttft=0.2, tpot=0.02))
    assert log.values["throughput_tokens_per_s"] == pytest.approx(table["num_tokens"].sum() / duration)
    assert log.values["smooth_goodput_tokens_per_s"] == pytest.approx(table["benefit"].sum() / duration)
    assert log.values["goodput_requests_per_s"] == pytest.approx(table["slo_met"].sum() / duration)
    for key in ("rate", "span", "window", "smooth_goodput_tokens_per_s_window"):
        assert key in log.refused


def test_without_submissions_and_duration_rates_are_refused(tmp_path: Path) -> None:
    record = {"error_code": None, "ttft_s": 0.5, "end_to_end_latency_s": 2.5, "number_input_tokens": 7}
    path = tmp_path / "log.json"
    path.write_text(json.dumps([record | {"number_output_tokens": 5}]))
    log = scored(path, "ttft:1000")
    assert log.values["slo_attainment"] == 1.0
    assert "goodput_requests_per_s" in log.refused
    assert "throughput_tokens_per_s" in log.refused
    assert log.values["tpot_mean"] == 0.5


def test_a_run_that_failed_altogether_scores_no_goodput(tmp_path: Path) -> None:
    run_ = json.loads(SGLANG.read_text())
    n = len(run_["errors"])
    run_ |= {"ttfts": [0.0] * n, "itls": [[]] * n, "output_lens": [0] * n, "errors": ["down"] * n, "completed": 0}
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(run_))
    log = scored(path, "ttft:200")
    assert log.values["num_failed"] == n
    assert log.values["goodput_requests_per_s"] == log.values["goodput_requests_per_s_tool"] == 0.0
    assert log.values["slo_attainment"] == 0.0
    assert isnan(log.values["ttft_mean"])


def test_rows_tell_logs_and_runs_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "log.json").write_text(VLLM.read_text())
    (tmp_path / "b" / "log.json").write_text(VLLM.read_text() + "\n" + VLLM.read_text())
    rows = results([tmp_path / "a" / "log.json", tmp_path / "b" / "log.json"], capsys)
    assert [row["name"] for row in rows] == ["a_log", "b_log_1", "b_log_2"]
    assert [row["run"] for row in rows] == [1, 1, 2]
    assert {row["format"] for row in rows} == {"vllm"}
    assert rows[0]["num_failed"] == 1
    assert rows[0]["warnings"] == []


def test_the_table_shows_the_tools_figures_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([VLLM, GUIDELLM, *SETTINGS], capsys)
    assert code == 0
    (goodput,) = [line for line in out.splitlines() if line.startswith("goodput")]
    assert scored(VLLM, "ttft:200,tpot:20").values["goodput_requests_per_s_tool"] == 4.0
    assert " (4) " in goodput
    (smooth,) = [line for line in out.splitlines() if line.startswith("smooth goodput")]
    assert smooth.endswith("refused")
    assert "guidellm: the tool records only the first and the last token" in out


def test_the_folder_has_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores"
    for _ in range(2):
        code, text, _ = run([VLLM, AIPERF, GUIDELLM, *SETTINGS, "--out", out], capsys)
        assert code == 0
    assert "guidellm: no token times, so not in the figures." in text
    assert sorted(p.name for p in (out / "figures").iterdir()) == [
        "idle_latency.png",
        "smooth_goodput.png",
        "timelines.png",
    ]
    scores = pd.read_parquet(out / "scores.parquet")
    assert scores["format"].tolist() == ["vllm", "aiperf", "guidellm"]
    requests = pd.read_parquet(out / "requests" / "vllm.parquet")
    assert requests["row"].tolist() == list(range(6))
    assert requests["status"].tolist().count("failed") == 1
    assert pd.read_parquet(out / "requests" / "guidellm.parquet")["idle_latency"].isna().all()
    assert set(pd.read_parquet(out / "curves.parquet")["name"]) == {"vllm", "aiperf"}
    meta = json.loads((out / "meta.json").read_text())
    assert meta["settings"]["slo"] == "ttft:200,tpot:20"


def test_a_log_of_ends_alone_has_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run([GUIDELLM, "--out", tmp_path / "scores"], capsys)
    assert code == 0
    assert list((tmp_path / "scores" / "figures").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["none.json"], ["none.json", "No such file"]),
        (["empty.json"], ["empty.json", "empty"]),
        (["other.json"], ["other.json:1", "no known format", "guidellm"]),
        (["deep.json"], ["deep.json:1", "nested too deeply"]),
        ([VLLM, "--format", "vlm"], ["'vlm'", "did you mean vllm"]),
        ([VLLM, "--format", "guidellm"], ["vllm.json:1", "benchmarks is missing"]),
        ([VLLM, "--chunks", "guess"], ["--chunks", "'guess'", "spread"]),
        ([VLLM, "--slo", "ttft"], ["ttft"]),
        ([VLLM, "--speed", "0"], ["--speed", "0"]),
        ([VLLM, "--speed", "5", "--reader-mix", "age"], ["--speed", "--reader-mix"]),
        ([VLLM, "--reader-mix", "town"], ["--reader-mix", "'town'", "language"]),
        ([VLLM, "--f", "hours"], ["--f", "'hours'"]),
        ([VLLM, "--f", "share"], ["l0"]),
        ([VLLM, "--out", "full"], ["full", "holds no earlier result"]),
        ([], ["FILE"]),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[Any],
    pieces: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("")
    Path("other.json").write_text('{"a": 1}')
    Path("deep.json").write_text("[" * 100_000)
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    code, out, err = run(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(piece in err for piece in pieces), err


def test_nothing_is_left_of_a_run_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    code, _, _ = run([VLLM, bad, "--out", tmp_path / "scores"], capsys)
    assert code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]
