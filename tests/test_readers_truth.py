"""Token times of real clients against the true send times of the server, and the tools' own figures against ours."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchlogs import BenchLog, read_bench_logs
from simulator.metrics import SLO, per_request, summary_values
from simulator.token_log import Floats

WITHIN = 5e-3


@pytest.fixture(scope="session")
def samples(shared: Path) -> Path:
    return shared / "benchlogs"


def read(path: Path) -> BenchLog:
    (log,) = read_bench_logs(path)
    return log


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sent(record: dict[str, Any]) -> Floats:
    return np.array(record["token_send_unix"])


def received(log: BenchLog, request: int) -> Floats:
    return log.log.token_times(request, request + 1).times


def assert_one_offset(differences: Iterable[Floats]) -> None:
    """There is a constant that all differences are within 5 ms of."""
    assert np.ptp(np.concatenate(list(differences))) <= 2 * WITHIN


@pytest.mark.parametrize(
    ("name", "truth", "num_served"),
    [
        ("vllm_detailed.json", "server_truth_completions.jsonl", 60),
        ("vllm_chat_with_failures.json", "server_truth_chat_failing.jsonl", 37),
    ],
)
def test_vllm_token_times(samples: Path, name: str, truth: str, num_served: int) -> None:
    log = read(samples / "vllm" / name)
    runs: dict[str, dict[int, Floats]] = {}
    for record in lines(samples / "vllm" / truth):
        run, _, number = record["x_request_id"].rpartition("-")
        if run.startswith("bench"):
            runs.setdefault(run, {})[int(number)] = sent(record)
    served = next(requests for requests in runs.values() if len(requests) == num_served)
    assert_one_offset(received(log, i) - served[row] for i, row in enumerate(log.rows) if row in served)


def test_aiperf_token_times(samples: Path) -> None:
    log = read(samples / "aiperf" / "profile_export.jsonl")
    ids = [record["metadata"]["x_request_id"] for record in lines(samples / "aiperf" / "profile_export.jsonl")]
    truth = {record["x_request_id"]: sent(record) for record in lines(samples / "aiperf" / "server_aiperf.jsonl")}
    assert len(truth) == 57
    assert_one_offset(received(log, i) - truth[ids[row]] for i, row in enumerate(log.rows) if ids[row] in truth)


def test_sglang_token_times_since_submission(samples: Path) -> None:
    log = read(samples / "sglang" / "sglang_details.jsonl")
    truth = sorted(lines(samples / "sglang" / "server_truth.jsonl"), key=lambda record: record["arrival_unix"])
    _warm_up, *served = truth
    assert len(served) == log.log.num_requests == 40
    assert_one_offset(received(log, i) - (sent(r) - r["arrival_unix"]) for i, r in enumerate(served))


def test_guidellm_first_and_last_token(samples: Path) -> None:
    log = read(samples / "guidellm" / "benchmarks.json")
    truth = lines(samples / "guidellm" / "server_guidellm.jsonl")
    served = sorted((r for r in truth if r["x_request_id"] is None), key=lambda record: record["arrival_unix"])[:60]
    assert [record["n_out"] for record in served] == log.log.output_length.tolist()
    assert_one_offset(received(log, i)[[0, -1]] - sent(r)[[0, -1]] for i, r in enumerate(served))


@pytest.mark.parametrize(
    ("name", "slo", "goodput"),
    [
        ("vllm/vllm_detailed.json", "ttft:200,tpot:20", 3.4110),
        ("vllm/vllm_detailed.json", "ttft:200,tpot:50", 4.8728),
        ("vllm/vllm_chat_with_failures.json", "ttft:200,tpot:20", 4.6075),
        ("sglang/sglang_details.jsonl", "ttft:100,tpot:20", 3.68896),
        ("aiperf/profile_export.jsonl", "ttft:100,tpot:20", 3.20315),
        ("guidellm/benchmarks.json", "ttft:100,tpot:20", 4.53996),
    ],
)
def test_goodput_of_the_tool(samples: Path, name: str, slo: str, goodput: float) -> None:
    log = read(samples / name)
    assert log.tool is not None
    assert log.tool.goodput(SLO.parse(slo)) == pytest.approx(goodput, abs=1e-3)
    reported = log.tool.reported["goodput_requests_per_s_reported_tool"]
    if log.tool.slo is not None:
        assert log.tool.slo == SLO.parse(slo)
        assert log.tool.goodput(log.tool.slo) == pytest.approx(reported, rel=1e-9)


@pytest.mark.parametrize(("name", "slo"), [("sglang/sglang_details.jsonl", 0.725), ("guidellm/benchmarks.json", 2 / 3)])
def test_slo_attainment_of_the_tool_is_ours(samples: Path, name: str, slo: float) -> None:
    log = read(samples / name)
    assert log.tool is not None
    assert log.tool.reported["slo_attainment_reported_tool"] == pytest.approx(slo)
    assert summary_values(log.log, log.tool.slo)["slo_attainment"] == pytest.approx(slo)


def test_aiperf_and_we_find_the_same_requests_good(samples: Path) -> None:
    log = read(samples / "aiperf" / "profile_export.jsonl")
    records = lines(samples / "aiperf" / "profile_export.jsonl")
    theirs = [records[row]["metrics"].get("good_request_count", {"value": 0})["value"] == 1 for row in log.rows]
    assert log.tool is not None
    assert per_request(log.log, log.tool.slo)["slo_met"].tolist() == theirs


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("vllm/vllm_detailed.json", 1e-6),
        ("vllm/vllm_chat_with_failures.json", 5e-6),
        ("sglang/sglang_details.jsonl", 2e-5),
        ("aiperf/profile_export.jsonl", 1e-9),
    ],
)
def test_percentiles_of_the_tool_are_ours(samples: Path, name: str, within: float) -> None:
    """vLLM and SGLang time the end of a request apart from its chunks, hence a few microseconds in TPOT and E2E."""
    log = read(samples / name)
    assert log.tool is not None
    ours = summary_values(log.log)
    compared = [key for key in log.tool.reported if key.removesuffix("_tool").rpartition("_")[2] in _STATISTICS]
    assert len(compared) >= 9
    for key in compared:
        assert ours[key.removesuffix("_tool")] == pytest.approx(log.tool.reported[key], abs=within), key


_STATISTICS = ("mean", "p50", "p90", "p99")


def test_guidellm_percentiles_are_order_statistics_near_ours(samples: Path) -> None:
    log = read(samples / "guidellm" / "benchmarks.json")
    assert log.tool is not None
    ttft = np.sort(log.tool.ttft)
    for quantile in (0.5, 0.9, 0.99):
        ours = int(quantile * (len(ttft) - 1))
        reported = log.tool.reported[f"ttft_p{int(100 * quantile)}_tool"]
        assert ttft[max(ours - 1, 0)] <= reported <= ttft[min(ours + 2, len(ttft) - 1)]
    assert log.tool.reported["ttft_mean_tool"] == pytest.approx(float(ttft.mean()))


def test_failures_are_counted_as_failed(samples: Path) -> None:
    values = summary_values(read(samples / "vllm" / "vllm_chat_with_failures.json").log, SLO(ttft=10))
    assert (values["num_requests"], values["num_finished"], values["num_failed"]) == (40, 37, 3)
    assert values["slo_attainment"] == 37 / 40
    assert values["ttft_mean"] == pytest.approx(0.05654750891090954)
