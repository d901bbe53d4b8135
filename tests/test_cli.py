"""The command line: wrong input is one line on stderr and exit code 2, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import main
from tests.outside_policies import install

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02d}.0000000,{100 + second},{second + 1}\n" for second in range(20)
)
QUICK = ["--rate", "2", "--requests", "10", "--seeds", "1", "--quiet"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a trace, and with traces and studies that are broken."""
    monkeypatch.chdir(tmp_path)
    Path("azure.csv").write_text(AZURE)
    Path("broken.csv").write_text(AZURE + "2023-11-16 18:15:50.0000000,12,many\n")
    Path("empty.csv").write_text("")
    Path("broken.yaml").write_text("rates: [1\n")
    Path("twice.yaml").write_text("rates: [1]\nrates: [2]\n")
    Path("typo.yaml").write_text("polices: [fcfs]\n")
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["none.yaml"], ["none.yaml", "No such file"]),
        (["broken.yaml"], ["broken.yaml:2"]),
        (["typo.yaml"], ["typo.yaml", "polices", "policies"]),
        (["--trace", "none.csv"], ["none.csv", "No such file"]),
        (["--trace", "empty.csv"], ["empty.csv"]),
        (["--trace", "broken.csv"], ["broken.csv:22", "many"]),
        (["--trace", "azure.csv", "--trace-format", "azur"], ["azur"]),
        (["--trace", "azure.csv", "--lengths", "sharegpt"], ["--trace", "--lengths"]),
        (["--policies", "fcfss"], ["fcfss", "did you mean fcfs", "chunked_prefill"]),
        (["--policies", "fcfs,fcfs"], ["--policies", "twice"]),
        (["--policies", "chunked_prefill:token_budget=0"], ["token_budget", "'0'"]),
        (["--profile", "a100-80gb/llama-3-8b/tp3"], ["a100-80gb/llama-3-8b/tp3", "a100-80gb/llama-3-8b/tp1"]),
        (["--lengths", "azure-con"], ["azure-con", "azure-conv", "lmsys"]),
        (["--rate", "0"], ["--rate", "'0'"]),
        (["--rate", "-3"], ["--rate", "'-3'"]),
        (["--rate", "fast"], ["--rate", "'fast'"]),
        (["--rate", "inf"], ["infinite rate"]),
        (["--rate", "1e9", "--window", "1"], ["1,000,000,000 requests", "50,000,000"]),
        (
            ["--rate", "0.05", "--window", "20", "--quiet"],
            ["seed 0", "no request arrives at 0.05 requests/s", "20.0 s"],
        ),
        (["twice.yaml"], ["twice.yaml:2", "'rates' is given twice"]),
        (["--seeds", "0"], ["--seeds", "0"]),
        (["--seeds", "1000000"], ["--seeds", "from 1 to 100000", "1000000"]),
        (["--requests", "0"], ["--requests", "0"]),
        (["--requests", "many"], ["--requests"]),
        (["--window", "-1"], ["--window", "-1.0"]),
        (["--slo", "ttft:soon"], ["ttft:soon"]),
        (["--speed", "0"], ["--speed", "0.0"]),
        (["--speed", "fast"], ["--speed", "'fast'", "age"]),
        (["--impatience", "soon"], ["--impatience", "'soon'"]),
        (["--delivery", "hold"], ["'hold'", "hold_tokens"]),
        (["--policies", "vllm_v1:max_num_seqs=4000"], ["max_num_seqs 4000", "2048"]),
        (["--policies", "fcfs@pace:speed=0"], ["pace:speed=0", "greater than 0"]),
        (["--oversize", "drop"], ["--oversize", "'drop'"]),
        (["--max-model-len", "50"], ["request 0", "50"]),
        (["--trace", "azure.csv", "--max-model-len", "110"], ["line", "110"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--colour"], ["--colour"]),
        (["--out", "azure.csv"], ["azure.csv", "is a file"]),
        (["--out", "azure.csv/x"], ["azure.csv", "not a folder"]),
        (["--out", "full"], ["full", "not empty"]),
        (["--out", "."], ["current folder"]),
        (["a.yaml", "b.yaml"], ["b.yaml"]),
    ],
)
def test_wrong_input(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], pieces: list[str]) -> None:
    before = sorted(folder.rglob("*"))
    code, out, err = run(["compare", *arguments], capsys)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if "runs done" not in line]
    assert len(lines) == 1, err
    assert lines[0].startswith("smoothserve: ")
    for piece in pieces:
        assert piece in lines[0]
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "locked").mkdir(mode=0o500)
    code, _, err = run(["compare", *QUICK, "--out", "locked/out"], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "not writable" in err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that nobody can write to")
def test_folder_that_cannot_be_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["compare", *QUICK, "--out", "/proc/out"], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "/proc/out" in err


def test_unknown_command_and_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compar"], capsys)[0] == 2
    assert run(["--version"], capsys)[1].startswith("smoothserve ")
    assert run([], capsys) == run(["--help"], capsys)
    code, out, _ = run(["compare", "--help"], capsys)
    assert code == 0
    for option in ("--trace", "--policies", "--rate", "--limit", "--slo", "--oversize", "--json", "--quiet"):
        assert option in out


def test_json_alone_is_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["compare", "--trace", "azure.csv", "--json", "--quiet", "--slo", "ttft:1000"], capsys)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {"study", "results"}
    assert document["study"]["workload"]["trace"] == "azure.csv"
    assert len(document["study"]["workload"]["sha256"]) == 64
    for row in document["results"]:
        assert row["num_finished"] == row["num_requests"] == 20
        assert row["rate"] == pytest.approx(1.0)
        assert row["half_width"]["ttft"]["mean"] is None
        assert {"slo_attainment", "slo_attainment_completed", "goodput_requests_per_s", "goodput_tokens_per_s"} <= set(
            row
        )
        assert {"smooth_goodput_tokens_per_s", "smooth_goodput_tokens_per_s_window", "window"} <= set(row)
        assert {"num_dropped", "num_preemptions", "utilisation", "mean_queue", "peak_kv", "unstable"} <= set(row)
    assert (folder / "results" / "compare" / "summary.csv").is_file()


def test_text_names_the_folder_and_progress_is_on_stderr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loud = [argument for argument in QUICK if argument != "--quiet"]
    code, out, err = run(["compare", *loud, "--out", "here"], capsys)
    assert code == 0
    assert "Written to here" in out
    assert "100% of 2 runs done" in err


def test_trace_is_rescaled_limited_and_cut(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--trace", "azure.csv", "--json", "--quiet", "--policies", "fcfs", "--out", "o"]
    _, out, _ = run([*arguments, "--rate", "2,inf", "--limit", "10"], capsys)
    double, at_once = json.loads(out)["results"]
    assert (double["rate"], double["num_requests"], double["window"]) == (2.0, 10, pytest.approx(4.5))
    assert (at_once["rate"], at_once["window"]) == ("inf", 0.0)
    _, out, _ = run([*arguments, "--window", "5"], capsys)
    assert json.loads(out)["results"][0]["num_requests"] == 5


def test_oversize_requests_can_be_counted_as_failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--trace", "azure.csv", "--max-model-len", "111", "--oversize", "reject", "--json", "--quiet"]
    _, out, _ = run(["compare", *arguments], capsys)
    row = json.loads(out)["results"][0]
    assert (row["num_requests"], row["num_finished"], row["num_failed"]) == (20, 6, 14)


def test_command_is_quiet_about_a_closed_pipe(folder: Path) -> None:
    command = [sys.executable, "-c", "from experiments.cli import main; main()", "compare", *QUICK, "--json"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (1, 141)


def test_a_trace_of_one_request_is_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.csv").write_text("".join(AZURE.splitlines(keepends=True)[:2]))
    code, out, err = run(["compare", "--trace", "one.csv", "--quiet"], capsys)
    assert (code, err) == (0, "")
    assert "fcfs" in out
    assert Path("results/compare/figures/latencies.png").exists()


def test_a_mistake_in_a_policy_of_ones_own_is_no_wrong_input_and_wrong_input_no_mistake_in_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from simulator import SchedulerPolicy\n"
        "class Mine(SchedulerPolicy):\n    name = 'mine'\n    def plan(self, view):\n        raise ValueError('boom')\n"
    )
    install(folder, "mine", source, "mine = mine:Mine")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(RuntimeError, match="policy mine raised ValueError: boom"):
        main(["compare", "--policies", "mine", *QUICK])
    code, _, err = run(["compare", "--policies", "mine", "--max-model-len", "300", *QUICK], capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "max_model_len 300" in err


def test_a_closed_stdout_is_no_mistake() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; sys.stdout = None; from experiments.cli import main; main(['policies'])",
    ]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
