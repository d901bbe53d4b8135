"""`smoothserve timeline`: every kind of run is shown as it was, and wrong input is one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cells import cell_log, cells
from experiments.cli import main
from experiments.compare import run_compare
from experiments.log_files import save_log
from experiments.study_files import load_study
from experiments.timeline.runs import Choice, load_run
from policies import make_policy
from simulator import simulate
from tests.hand_logs import log_of, row
from tests.support import Machine
from tests.test_engine_timelines import LOAD, TokensTakeTime

STUDY = """
workload: {lengths: azure-conv}
rates: [2, 4, 6]
requests: 15
profile: a100-80gb/llama-3-8b/tp1
policies: [fcfs, "chunked_prefill:token_budget=256@pace:speed=8", andes, "andes:quantum=20"]
seeds: 2
slo: {ttft: 1.0}
user: {speed: 7}
"""


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["timeline", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, its result, a simulated log and a measured one."""
    folder = tmp_path_factory.mktemp("timeline")
    (folder / "study.yaml").write_text(STUDY)
    run_compare(load_study(folder / "study.yaml"), folder / "result")
    save_log(simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime())), folder / "log")
    save_log(log_of([row(0.0, [1.0, 2.0])]), folder / "measured")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return made


def test_a_saved_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([str(folder / "log"), "--request", "0", "--slo", "ttft:1000"], capsys)
    assert code == 0
    assert out == "timeline.png: fcfs, test/machine/tp1, test, 0 to 7.5 s (where request 0 arrives)\n"
    assert Path("timeline.png").read_bytes().startswith(b"\x89PNG")


def test_a_trace_alone_or_beside_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = ["--from", "1", "--to", "3"]
    assert run([str(folder / "log"), *window, "--chrome-trace", "t.json"], capsys)[0] == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["t.json"]
    stamps = [event["ts"] for event in json.loads(Path("t.json").read_text())["traceEvents"] if event["ph"] == "X"]
    assert min(stamps) == 0.0
    assert max(stamps) == 2e6
    code, out, _ = run([str(folder / "log"), *window, "--chrome-trace", "t.json", "--out", "p.svg"], capsys)
    assert code == 0
    assert out.startswith("p.svg and t.json: fcfs")
    assert "<svg" in Path("p.svg").read_text()


def test_a_result_is_run_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = ["--policy", "chunked_prefill", "--rate", "4", "--seed", "1", "--request", "3"]
    code, out, _ = run([str(folder / "result"), *choice], capsys)
    assert code == 0
    assert "chunked_prefill:token_budget=256@pace:speed=8 at 4 requests/s, seed 1" in out
    shown = load_run(folder / "result", Choice("chunked_prefill", 4.0, 1))
    study = load_study(folder / "study.yaml")
    cell = next(cell for cell in cells(study) if (cell.policy, cell.rate, cell.seed) == (study.policies[1], 4.0, 1))
    assert shown.log == cell_log(study, cell)
    assert shown.log.delivered is not None
    assert (shown.speed == 7.0).all()
    assert (shown.ttft == 1.0).all()


def test_what_is_shown_of_a_study_when_nobody_says(folder: Path) -> None:
    stable = load_run(folder / "result")
    runs = pd.read_parquet(folder / "result" / "runs.parquet").query("policy == 'fcfs'")
    best = runs.groupby("rate").unstable.mean().loc[lambda share: share <= 0.5].index.max()
    assert stable.words.startswith(f"fcfs at {best:g} requests/s, seed 0")
    assert load_run(folder / "study.yaml").words.startswith("fcfs at 4 requests/s, seed 0")


def test_a_trace_is_replayed_at_its_own_rate(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:15:{second:02d}.0000000,100,5" for second in range(20)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(lines) + "\n")
    study = tmp_path / "study.yaml"
    study.write_text(f"workload: {{trace: {trace}}}\nprofile: a100-80gb/llama-3-8b/tp1\npolicies: [fcfs]\n")
    run_compare(load_study(study), tmp_path / "result")
    for path in (study, tmp_path / "result"):
        assert load_run(path).words == "fcfs, seed 0, a100-80gb/llama-3-8b/tp1"
    with pytest.raises(ValueError, match="rate 3: the study replays a trace"):
        load_run(study, Choice(rate=3.0))
    trace.write_text(trace.read_text().replace(",5\n", ",6\n"))
    with pytest.raises(ValueError, match="sha256"):
        load_run(tmp_path / "result")


def test_a_result_that_the_rerun_does_not_agree_with_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("[2, 4, 6]", "[2]").replace("seeds: 2", "seeds: 1"))
    run_compare(load_study(tmp_path / "study.yaml"), tmp_path / "result")
    path = tmp_path / "result" / "runs.parquet"
    runs = pd.read_parquet(path)
    load_run(tmp_path / "result")
    runs["ttft_mean"] *= 1.001
    runs.to_parquet(path)
    with pytest.raises(ValueError, match=r"run again, ttft_mean is .* another version made it"):
        load_run(tmp_path / "result")


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["none"], ["none", "No such file"]),
        (["{folder}/result/figures"], ["figures: holds neither a study.yaml nor"]),
        (["{folder}/measured"], ["a measured run"]),
        (["{folder}/log", "--from", "9"], ["from 9 s to 19 s", "0 s to 7.5 s"]),
        (["{folder}/log", "--from", "3", "--to", "2"], ["from 3 s to 2 s"]),
        (["{folder}/log", "--request", "3"], ["request 3", "0 to 2"]),
        (["{folder}/log", "--request", "-3"], ["request -3", "0 to 2"]),
        (["{folder}/log", "--request", "0", "--speed", "0"], ["reading speed 0"]),
        (["{folder}/log", "--policy", "fcfs"], ["the log of one run", "policy"]),
        (["{folder}/log", "--slo", "ttft:soon"], ["ttft:soon"]),
        (["{folder}/log", "--out", "nowhere/p.png"], ["nowhere/p.png", "no folder nowhere"]),
        (["{folder}/log", "--out", "p.bmpx"], ["bmpx", "not supported"]),
        (["{folder}/log", "--chrome-trace", "{folder}"], ["is a folder"]),
        (["{folder}/study.yaml", "--policy", "fcfss"], ["fcfss", "did you mean fcfs"]),
        (["{folder}/study.yaml", "--policy", "andes:quantum=2"], ["andes:quantum=2"]),
        (["{folder}/study.yaml", "--rate", "3"], ["rate 3", "2, 4, 6 requests/s"]),
        (["{folder}/study.yaml", "--seed", "7"], ["seed 7", "0, 1"]),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], pieces: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([argument.format(folder=folder) for argument in arguments], capsys)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    for piece in pieces:
        assert piece in err
    assert not [path for path in Path.cwd().iterdir() if path.is_file()]


def test_speeds_and_bounds_of_a_log_are_unknown(folder: Path) -> None:
    shown = load_run(folder / "log")
    assert np.isnan(shown.speed).all()
    assert np.isnan(shown.ttft).all()
