"""`smoothserve capacity`: the same numbers every time, wherever they are found, and one line for wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.capacity.find import backlog_capacity, find_capacity, known_metrics
from experiments.capacity.search import SearchSettings
from experiments.cli import main
from experiments.study import StudySpec
from experiments.study_files import load_study

STUDY = StudySpec.model_validate(
    {
        "workload": {"lengths": "azure-conv"},
        "rates": [1],
        "requests": 60,
        "profile": "a100-80gb/llama-3-8b/tp1",
        "policies": ["fcfs", "chunked_prefill:token_budget=512"],
        "seeds": 2,
        "slo": {"ttft": 1.0, "tbt": 0.1},
    }
)
QUICK = ["--requests", "40", "--seeds", "2", "--tolerance", "0.2", "--policies", "fcfs", "--quiet"]
TABLES = ["capacity.csv", "capacity.parquet", "evaluations.parquet", "study.yaml", "search.yaml"]
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02d}.0000000,{100 + second},{second + 1}\n" for second in range(20)
)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["capacity", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY.to_yaml())
    Path("azure.csv").write_text(TRACE)
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    return tmp_path


def test_workers_find_the_same() -> None:
    coarse = SearchSettings(tolerance=0.2)
    here, there = (find_capacity(STUDY, ["qoe_mean>=0.9"], settings=coarse, jobs=jobs) for jobs in (1, 2))
    assert [(row.policy, row.capacity) for row in here] == [(row.policy, row.capacity) for row in there]
    assert [each.bracket for row in here for each in row.seeds] == [each.bracket for row in there for each in row.seeds]


def test_every_policy_starts_with_the_same_runs() -> None:
    rows = find_capacity(
        STUDY, ["tpot_p99<=0.05", "peak:smooth_goodput"], settings=SearchSettings(tolerance=0.2), jobs=1
    )
    assert [str(row.condition) for row in rows] == ["tpot_p99<=0.05"] * 2 + ["peak:smooth_goodput"] * 2
    assert rows[0].evaluations == rows[2].evaluations  # the runs of both conditions
    for runs in zip(*(row.evaluations for row in rows[:2]), strict=True):
        shared = {run.rate for run in runs[0]} & {run.rate for run in runs[1]}
        assert backlog_capacity(STUDY) in shared
        for rate in shared:
            lengths = {run.values["num_tokens"] for part in runs for run in part if run.rate == rate}
            assert len(lengths) == 1


def test_a_larger_machine_has_more_capacity() -> None:
    profiles = ["a100-80gb/llama-3-8b/tp1", "h100-80gb/llama-3-8b/tp2"]
    small, large = find_capacity(
        STUDY, ["e2e_p50<=3"], profiles=profiles, policies=["fcfs"], settings=SearchSettings(tolerance=0.1), jobs=1
    )
    assert small.capacity.mean + small.capacity.half_width < large.capacity.mean
    assert (small.num_gpus, large.num_gpus) == (1, 2)


def test_metrics_are_those_of_a_run() -> None:
    assert {"slo_attainment", "qoe_mean", "tbt_p99", "scheduling_delay_p50", "unstable"} <= known_metrics()


def test_the_folder_is_whole_and_the_same_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study.yaml", *QUICK, "--price", "a100-80gb=2", "--keep", "qoe_mean>=0.9"]
    code, out, err = run(command, capsys)
    assert (code, err) == (0, "")
    assert "The highest rate of a replica at which qoe_mean>=0.9" in out
    result = folder / "results" / "capacity"
    assert sorted(path.name for path in result.iterdir()) == sorted([*TABLES, "meta.json", "figures"])
    assert (result / "figures" / "capacity.png").stat().st_size > 0
    first = {name: (result / name).read_bytes() for name in TABLES}
    assert run(command, capsys)[0] == 0
    assert {name: (result / name).read_bytes() for name in TABLES} == first
    (record,) = pd.read_parquet(result / "capacity.parquet").to_dict("records")
    tokens = record["good_tokens_per_s"]
    assert record["cost_per_million_good_tokens"] == pytest.approx(2 / 3600 / tokens * 1e6)
    assert load_study(result / "study.yaml").policies == ("fcfs",)


def test_json_is_all_there_is_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([*QUICK, "--json", "--keep", "qoe_mean>=0.9", "--keep", "peak:goodput"], capsys)
    assert code == 0
    document = json.loads(out)
    assert document["search"]["keep"] == ["qoe_mean>=0.9", "peak:goodput"]
    assert [row["condition"] for row in document["results"]] == ["qoe_mean>=0.9", "peak:goodput"]
    assert all(len(row["seeds"]) == row["num_seeds"] == 2 for row in document["results"])


def test_a_trace_is_offered_at_other_rates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run(["--trace", "azure.csv", "--policies", "fcfs", "--tolerance", "0.2", "--json"], capsys)
    assert code == 0
    rates = pd.read_parquet("results/capacity/evaluations.parquet").rate
    assert rates.max() > 2 * rates.min()


def test_five_seeds_if_nobody_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = [line for line in STUDY.to_yaml().splitlines() if line not in ("seeds:", "- 0", "- 1")]
    Path("study.yaml").write_text("\n".join(fields))
    code, out, _ = run(["study.yaml", *QUICK[:2], *QUICK[4:], "--keep", "tbt_p50<=1", "--json"], capsys)
    assert code == 0
    assert json.loads(out)["results"][0]["num_seeds"] == 5


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["--keep", "slo_attainmet>=0.9"], ["unknown metric 'slo_attainmet'", "did you mean slo_attainment"]),
        (["--keep", "peak:smooth_godput"], ["smooth_godput", "did you mean"]),
        (["--keep", "tbt_p99<0.2"], ["'tbt_p99<0.2'", "metric<=value"]),
        (["--keep", "qoe_mean>=0.9", "--keep", "qoe_mean >= 0.90"], ["qoe_mean>=0.9", "given twice"]),
        (
            ["study.yaml", "--trace", "azure.csv", "--keep", "fluidity_mean>=0.9 or more"],
            ["'fluidity_mean>=0.9 or more'"],
        ),
        (["--price", "a100-80gb"], ["'a100-80gb'", "USD_PER_GPU_HOUR"]),
        (["--price", "a100-80gb=free"], ["'free'", "positive number"]),
        (["--price", "a100-80gb=-1"], ["'-1'", "positive number"]),
        (["--price", "a100-80gb=1", "--price", "a100-80gb=2"], ["a100-80gb=2", "two prices"]),
        (["--price", "h200=4"], ["'h200'", "a100-80gb"]),
        (["--profile", "a100-80gb/llama-3-8b/tp3"], ["a100-80gb/llama-3-8b/tp3", "did you mean"]),
        (["--profile", "h100-80gb/llama-3-8b/tp1,h100-80gb/llama-3-8b/tp1"], ["given twice"]),
        (["--policies", "fcfss"], ["fcfss", "did you mean fcfs"]),
        (["--tolerance", "0"], ["--tolerance", "0.0"]),
        (["--rate", "3"], ["--rate"]),
        (["--seeds", "0"], ["--seeds", "0"]),
        (["--out", "full"], ["full", "not empty"]),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], pieces: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(arguments, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for piece in pieces:
        assert piece in err
    assert not Path("results").exists()


def test_a_promise_needs_an_slo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--trace", "azure.csv", "--lengths", "sharegpt"]
    assert run([*arguments, "--quiet"], capsys)[0] == 2
    Path("bare.yaml").write_text(STUDY.model_copy(update={"slo": None}).to_yaml())
    code, _, err = run(["bare.yaml", *QUICK, "--keep", "slo_attainment>=0.9"], capsys)
    assert code == 2
    assert "slo_attainment is undefined in every run; does it need an SLO?" in err
