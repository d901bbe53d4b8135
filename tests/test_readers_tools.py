"""AIPerf, GuideLLM, GenAI-Perf, llmperf and our own folders: what is peculiar to each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.log_files import load_log, save_log
from simulator.metrics import SLO, per_request, summary_values
from simulator.token_log import Status
from tests.bench_support import FIXTURES, read, times_of, written


def test_aiperf_failures_warm_up_and_cancellations(tmp_path: Path) -> None:
    lines = (FIXTURES / "aiperf.jsonl").read_text().splitlines()
    warm_up = json.loads(lines[0])
    warm_up["metadata"]["benchmark_phase"] = "warmup"
    cancelled = json.loads(lines[1])
    cancelled["metadata"]["was_cancelled"] = True
    log = read(written(tmp_path, "\n".join([json.dumps(warm_up), *lines, json.dumps(cancelled)]), "p.jsonl"))
    assert log.log.num_requests == 5
    assert sorted(filter(None, log.log.reason)) == ["503 Service Unavailable", "cancelled"]
    assert summary_values(log.log)["num_failed"] == 2
    assert log.notes[0] == "1 requests of the warm-up are left out, as the tool does"


def test_aiperf_without_streaming_has_only_ends(tmp_path: Path) -> None:
    record = json.loads((FIXTURES / "aiperf.jsonl").read_text().splitlines()[0])
    for name in ("time_to_first_token", "inter_chunk_latency", "inter_token_latency"):
        del record["metrics"][name]
    log = read(written(tmp_path, record, "p.jsonl"))
    latency = record["metrics"]["request_latency"]["value"] / 1e3
    assert log.log.meta["token_times"] == "end"
    assert per_request(log.log)["e2e"].tolist() == pytest.approx([latency], abs=1e-12)


def test_guidellm_knows_first_and_last_token(tmp_path: Path) -> None:
    document = json.loads((FIXTURES / "guidellm.json").read_text())
    record = document["benchmarks"][0]["requests"]["successful"][0]
    log = read(FIXTURES / "guidellm.json")
    timings = record["info"]["timings"]
    assert log.log.meta["token_times"] == "ends"
    first, *_, last = times_of(log, 0)
    assert first == pytest.approx(timings["first_token_iteration"] - timings["request_start"], abs=1e-9)
    assert last == pytest.approx(timings["last_token_iteration"] - timings["request_start"], abs=1e-9)
    assert log.log.num_tokens()[0] == record["output_tokens"]


def test_guidellm_failed_and_incomplete_requests(tmp_path: Path) -> None:
    document = json.loads((FIXTURES / "guidellm.json").read_text())
    requests = document["benchmarks"][0]["requests"]
    done = requests["successful"]
    timings = {"request_start": done[0]["info"]["timings"]["request_start"], "request_end": None}
    empty = {"prompt_tokens": 5, "output_tokens": None}
    requests["errored"] = [{"info": {"error": "boom\nat line", "timings": timings}, **empty}]
    requests["incomplete"] = [
        {"info": {"error": None, "timings": timings}, **empty},
        {"info": {"error": None, "timings": {}}, **empty},
    ]
    log = read(written(tmp_path, document))
    assert sorted(log.log.status.tolist()) == [0, 1, 1, 1, 3]
    assert "boom at line" in log.log.reason
    assert log.notes[0] == "1 incomplete requests were never sent: left out"
    assert log.notes[1] == "the file holds 6 of the 3 requests of the run"


def genai_perf(outputs: list[str], **request: Any) -> dict[str, Any]:
    stamps = [1_000_000_000 + 500_000_000 * (i + 1) for i in range(len(outputs))]
    row = {"timestamp": 1_000_000_000, "response_timestamps": stamps, **request}
    row["response_outputs"] = [{"response": text} for text in outputs]
    return {"experiments": [{"experiment": {"mode": "concurrency", "value": 2}, "requests": [row]}]}


def event(text: str, **more: Any) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}], **more})}\n\n"


def test_genai_perf_leaves_out_chunks_without_text(tmp_path: Path) -> None:
    outputs = [event(""), event("a"), event("b"), event("", usage={"completion_tokens": 2}), "data: [DONE]\n\n"]
    log = read(written(tmp_path, genai_perf(outputs)))
    assert log.format == "genai-perf"
    assert times_of(log, 0) == [1.0, 1.5]
    assert log.log.meta["token_times"] == "exact"
    assert log.tool is not None
    assert (log.tool.ttft[0], log.tool.e2e[0], log.tool.duration) == (1.0, 1.5, 1.5)


def test_genai_perf_without_usage_counts_chunks(tmp_path: Path) -> None:
    path = written(tmp_path, genai_perf([event("a b"), event("c")]))
    log = read(path)
    assert log.log.meta["token_times"] == "chunks"
    assert log.notes == ("the tool does not count the tokens of 1 of 1 requests: each chunk is counted as one",)
    assert log.tool is not None
    assert np.isnan(log.tool.goodput(SLO(tpot=10)))
    with pytest.raises(ValueError, match="2 chunks for an unknown number of tokens"):
        read(path, chunks="refuse")


@pytest.mark.parametrize("outputs", [[], [event("")], [event("a"), 'data: {"error": {"code": 500}}\n\n']])
def test_genai_perf_failures(tmp_path: Path, outputs: list[str]) -> None:
    log = read(written(tmp_path, genai_perf(outputs)))
    assert log.log.status.tolist() == [Status.FAILED]


def test_llmperf_has_ends_and_no_time_of_the_run(tmp_path: Path) -> None:
    good = {
        "error_code": None,
        "ttft_s": 0.5,
        "end_to_end_latency_s": 2.5,
        "inter_token_latency_s": 0.5,
        "number_input_tokens": 7,
        "number_output_tokens": 5,
    }
    bad = {**good, "error_code": 429, "ttft_s": 0, "end_to_end_latency_s": 0, "number_output_tokens": 0}
    log = read(written(tmp_path, [good, bad]))
    table = per_request(log.log)
    assert log.format == "llmperf"
    assert table["tpot"][0] == 0.5
    assert table["status"].tolist() == ["finished", "failed"]
    assert log.log.reason == ("", "error 429")
    assert "figures per second are refused" in log.notes[-1]


def test_saved_logs_are_read_as_they_are(tmp_path: Path) -> None:
    log = read(FIXTURES / "vllm.json").log
    save_log(log, tmp_path / "saved")
    again = read(tmp_path / "saved")
    assert again.format == "smoothserve"
    assert again.log == log == load_log(tmp_path / "saved")
    assert again.tool is None


def test_tables_of_a_study_are_scored_for_latencies(tmp_path: Path) -> None:
    log = read(FIXTURES / "vllm.json").log
    (tmp_path / "requests").mkdir()
    table: pd.DataFrame = per_request(log)
    table.insert(0, "policy", "fcfs")
    table.to_parquet(tmp_path / "requests" / "fcfs.parquet", index=False)
    again = read(tmp_path)
    expected, found = summary_values(log), summary_values(again.log)
    assert again.log.meta["token_times"] == "ends"
    assert again.log.meta["policy"] == "fcfs"
    for name in ("ttft_p90", "tpot_mean", "e2e_p99", "num_failed", "throughput_tokens_per_s"):
        assert found[name] == pytest.approx(expected[name], rel=1e-12)
