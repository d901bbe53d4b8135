"""What the benchmark says of itself: cases, bars, ratios, and one tiny run of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bench.bars import bars, spelled
from experiments.bench.cases import SCORE, Case, baseline, cases, chosen
from experiments.bench.loads import workload_of
from experiments.bench.report import verdict
from experiments.bench.rows import bench_rows
from experiments.bench.scoring import TOKENS, synthetic_log
from experiments.cli import main
from policies.registry import BUILT_IN

SLOW, FAST = (
    Case(workload="f6", policy="fcfs", requests=1_000_000),
    Case(workload="f6", policy="fcfs", requests=100_000),
)


def found(cpu_s: float, requests: int, **more: float) -> dict[str, float]:
    figures = {"requests": requests, "output_tokens": 128 * requests, "cpu_s": cpu_s, "summary_cpu_s": 0.2 * cpu_s}
    return figures | {"num_plans": 2 * requests, "num_iterations": 9 * requests, "peak_rss_bytes": 5e8} | more


def test_all_are_the_workloads_that_are_measured_in_cpu_seconds() -> None:
    assert chosen("all") == ["f6", "c5", "c1", "overload", "andes", "policies", "trace", "score"]
    assert chosen("c1, startup,c1") == ["c1", "startup"]
    with pytest.raises(ValueError, match="did you mean overload"):
        chosen("overlaod")


def test_every_policy_is_measured() -> None:
    measured = {case.policy for case in cases(chosen("all"), trace="t.csv")}
    assert set(BUILT_IN) <= measured


def test_an_overload_brings_its_counterpart_near_capacity() -> None:
    both = cases(["overload"], requests=50, policies=["fcfs"])
    assert [case.workload for case in both] == ["load_0.9", "overload"]
    assert baseline(both[1]) == both[0]
    assert baseline(SLOW) == FAST
    assert baseline(FAST) is None


def test_a_case_is_held_to_the_bars_of_its_kind() -> None:
    assert [spelled(bar) for bar in bars(SLOW)] == [
        "requests_per_cpu_s>=50000",
        "cost_ratio<=11",
        "cost_ratio_with_summary<=11",
        "peak_rss_bytes<=600000000",
    ]
    assert [spelled(bar) for bar in bars(Case(workload="andes", policy="andes"))] == ["requests_per_cpu_s>=2000"]
    assert [spelled(bar) for bar in bars(Case(workload="policies", policy="tempo"))] == ["requests_per_cpu_s>=5000"]
    assert bars(Case(workload="trace", policy="fcfs")) == ()


def test_the_best_repetition_counts_and_the_most_memory() -> None:
    fast, slow = bench_rows(
        {
            FAST: [found(1.0, 100_000), found(2.0, 100_000)],
            SLOW: [found(12.0, 1_000_000), found(11.5, 1_000_000, peak_rss_bytes=7e8)],
        }
    )
    assert fast.values["requests_per_cpu_s"] == 100_000
    assert fast.missed == ()
    assert slow.values["cost_ratio"] == pytest.approx(11.5)
    assert {bar.metric for bar in slow.missed} == {"cost_ratio", "cost_ratio_with_summary", "peak_rss_bytes"}
    words = verdict([fast, slow])
    assert words.startswith("2 of 5 bars are met. Missed:")
    assert "f6 with fcfs, 1,000,000 requests: cost_ratio is 11.5, to be at most 11" in words


def test_a_ratio_is_no_bar_where_its_counterpart_was_not_measured() -> None:
    (row,) = bench_rows({SLOW: [found(12.0, 1_000_000)]})
    assert {bar.metric for bar in row.bars} == {"requests_per_cpu_s", "peak_rss_bytes"}


def test_workloads_are_the_same_every_time() -> None:
    case = Case(workload="policies", policy="edf", requests=40)
    one, two = workload_of(case), workload_of(case)
    assert (one.arrival == two.arrival).all()
    assert (one.predicted_output_length == two.predicted_output_length).all()
    fixed = workload_of(Case(workload="f6", policy="fcfs", requests=40))
    assert {*fixed.prompt_length.tolist(), *fixed.output_length.tolist()} == {512, 128}
    assert workload_of(Case(workload="c5", policy="fcfs", requests=3000)).prompt_length.max() < 4096


def test_the_log_that_is_scored_is_one_that_the_engine_could_have_kept() -> None:
    log = synthetic_log(30)
    assert log.num_tokens().tolist() == [TOKENS] * 30
    times = log.token_times()
    assert (log.end == times.times[times.offsets[1:] - 1]).all()


def test_a_tiny_run_of_all_in_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "AzureLLMInferenceTrace_conv.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["bench", "--workload", "f6,overload,trace,score", "--policies", "fcfs", "--requests", "60", "--json"])
    assert end.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["workload"] for row in rows] == ["f6", "load_0.9", "overload", "trace", SCORE]
    for row in rows:
        assert row["requests_per_cpu_s"] == pytest.approx(row["requests"] / row["cpu_s"])
        assert row["output_tokens_per_cpu_s"] > row["requests_per_cpu_s"]
        assert row["peak_rss_bytes"] > 2**20
    assert [row["requests"] for row in rows] == [60, 60, 60, 1, 60]


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["--workload", "f9"], "f9"),
        (["--workload", "f6", "--policies", "fcsf"], "did you mean fcfs"),
        (["--workload", "trace", "--trace", "none.csv"], "none.csv: No such file"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], piece: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert piece in err
    assert err.count("\n") == 1


def test_help_imports_nothing_that_computes() -> None:
    program = """
import sys
from experiments.cli import main
try:
    main(["--help"])
except SystemExit:
    print(sorted({"numpy", "scipy", "pandas", "simpy", "pydantic", "matplotlib", "rich.table"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
