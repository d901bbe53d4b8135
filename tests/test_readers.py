"""What readers make of the load tools' logs: times, lengths, failures, and what they say about them."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchlogs import BenchLog, Reader, ToolRequest, ToolRun, bench_log, read_bench_logs, registry
from experiments.benchlogs.chunks import tokens_over_chunks
from simulator.metrics import SLO, summary_values
from simulator.token_log import Status
from tests.bench_support import FIXTURES, read, times_of, written


def vllm(**columns: Any) -> dict[str, Any]:
    """Two requests of a run: three tokens each, a TTFT of 0.5 s, gaps of 0.25 s."""
    run = {
        "endpoint_type": "openai",
        "tokenizer_id": "t",
        "duration": 4.0,
        "input_lens": [10, 20],
        "output_lens": [3, 3],
        "ttfts": [0.5, 0.5],
        "itls": [[0.25, 0.25], [0.25, 0.25]],
        "start_times": [100.0, 101.0],
        "errors": ["", ""],
    }
    return {**run, **columns}


def test_vllm_times_are_submission_plus_ttft_plus_gaps(tmp_path: Path) -> None:
    log = read(written(tmp_path, vllm()))
    assert log.format == "vllm"
    assert log.log.arrival.tolist() == [0.0, 1.0]
    assert log.log.window == 1.0
    assert [times_of(log, i) for i in range(2)] == [[0.5, 0.75, 1.0]] * 2
    assert log.log.prompt_length.tolist() == [10, 20]
    assert log.log.end.tolist() == [1.0, 2.0]
    assert log.notes == ()
    assert log.log.meta["token_times"] == "exact"


def test_vllm_failure_is_no_perfect_request(tmp_path: Path) -> None:
    run = vllm(output_lens=[3, 0], ttfts=[0.5, 0.0], itls=[[0.25, 0.25], []], errors=["", "Service Unavailable"])
    log = read(written(tmp_path, run))
    values = summary_values(log.log, SLO(ttft=10))
    assert log.log.status.tolist() == [Status.FINISHED, Status.FAILED]
    assert log.log.reason == ("", "Service Unavailable")
    assert (values["num_finished"], values["num_failed"]) == (1, 1)
    assert values["slo_attainment"] == 0.5
    assert values["ttft_mean"] == 0.5
    assert np.isnan(log.log.end[1])


def test_vllm_failure_without_words_is_still_one(tmp_path: Path) -> None:
    log = read(written(tmp_path, vllm(output_lens=[3, 0], ttfts=[0.5, 0.0], itls=[[0.25, 0.25], []])))
    assert log.log.status.tolist() == [Status.FINISHED, Status.FAILED]


def test_failure_in_mid_stream_keeps_its_tokens_and_says_so(tmp_path: Path) -> None:
    log = read(written(tmp_path, vllm(output_lens=[3, 0], errors=["", "reset"])))
    assert log.log.num_tokens().tolist() == [3, 3]
    assert log.log.status.tolist() == [Status.FINISHED, Status.FAILED]
    assert log.notes == ("1 of 1 failed requests keep the 3 tokens that they received",)


def test_vllm_appended_runs_are_one_log_each(tmp_path: Path) -> None:
    runs = json.dumps(vllm()) + "\n" + json.dumps(vllm(duration=8.0), indent=1) + json.dumps(vllm())
    logs = read_bench_logs(written(tmp_path, runs))
    assert [log.tool.duration for log in logs if log.tool] == [4.0, 8.0, 4.0]


def test_requests_come_in_order_of_submission(tmp_path: Path) -> None:
    log = read(written(tmp_path, vllm(start_times=[101.0, 100.0])))
    assert log.rows.tolist() == [1, 0]
    assert log.log.prompt_length.tolist() == [20, 10]
    assert log.log.arrival.tolist() == [0.0, 1.0]


def test_old_vllm_logs_have_no_times_of_submission(tmp_path: Path) -> None:
    run = vllm()
    del run["start_times"]
    log = read(written(tmp_path, run))
    assert log.log.meta["arrivals"] == "unknown"
    assert "per second of its own duration, 4 s" in log.notes[0]


def test_tool_goodput_divides_by_its_own_duration(tmp_path: Path) -> None:
    tool = read(written(tmp_path, vllm(ttfts=[0.5, 0.75]))).tool
    assert tool is not None
    assert tool.goodput(SLO(ttft=0.5)) == 1 / 4.0
    assert tool.goodput(SLO(ttft=0.75, tpot=0.25, e2e=1.25)) == 2 / 4.0
    assert np.isnan(tool.goodput(SLO(tbt=1.0)))


def test_tool_counts_one_token_as_meeting_any_tpot(tmp_path: Path) -> None:
    tool = read(written(tmp_path, vllm(output_lens=[1, 3], itls=[[], [0.25, 0.25]]))).tool
    assert tool is not None
    assert tool.goodput(SLO(tpot=0.1)) == 1 / 4.0


@pytest.mark.parametrize(
    ("chunks", "tokens", "kind"),
    [(None, [0.5, 0.625, 0.75, 0.875, 1.0], "spread"), ("as-is", [0.5, 0.75, 1.0], "chunks")],
)
def test_chunks_that_are_not_tokens(tmp_path: Path, chunks: Any, tokens: list[float], kind: str) -> None:
    log = read(written(tmp_path, vllm(output_lens=[5, 3])), chunks=chunks)
    assert times_of(log, 0) == tokens
    assert log.log.meta["token_times"] == kind
    assert log.log.output_length.tolist() == [5, 3]
    assert log.notes[0].startswith("1 of 2 requests have 3 chunks for 5 tokens: ")


def test_chunks_that_are_not_tokens_can_be_refused(tmp_path: Path) -> None:
    path = written(tmp_path, vllm(output_lens=[3, 4]))
    with pytest.raises(ValueError, match=r"log.json:1: itls\[1\]: 3 chunks for 4 tokens"):
        read(path, chunks="refuse")


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(0, 80))
def test_spread_tokens_keep_order_and_ends(gaps: list[float], num_tokens: int) -> None:
    received = np.cumsum(gaps)
    tokens = tokens_over_chunks(received, num_tokens)
    assert len(tokens) == num_tokens
    assert (np.diff(tokens) >= 0).all()
    if num_tokens:
        assert tokens[0] == received[0]
    if num_tokens > 1:
        assert tokens[-1] == received[-1]


@given(st.lists(st.lists(st.floats(1e-3, 5), min_size=1, max_size=20), min_size=1, max_size=5))
def test_any_gaps_become_a_log(rows: list[list[float]]) -> None:
    requests = [ToolRequest(f"r{i}", float(-i), np.cumsum(row), 1, len(row)) for i, row in enumerate(rows)]
    log = bench_log(ToolRun("x", "here", requests))
    assert log.rows.tolist() == list(range(len(rows)))[::-1]
    for i, row in enumerate(rows[::-1]):
        expected = np.cumsum(row) + i
        np.testing.assert_array_equal(log.log.token_times(i, i + 1).times, expected)


def test_sglang_has_no_submissions_and_splits_chunks(tmp_path: Path) -> None:
    run = {key: value for key, value in vllm().items() if key not in ("start_times", "endpoint_type", "tokenizer_id")}
    run |= {"backend": "sglang", "dataset_name": "random", "goodput_slos_ms": {"ttft": 500, "e2el": 900}}
    log = read(written(tmp_path, json.dumps(run) + "\n", "log.jsonl"))
    assert log.format == "sglang"
    assert log.log.arrival.tolist() == [0.0, 0.0]
    assert log.log.meta["arrivals"] == "unknown"
    assert log.notes[0] == "2 of 4 gaps equal the one before: the tool splits the gap before a chunk over its tokens"
    assert log.tool is not None
    assert log.tool.slo == SLO(ttft=0.5, e2e=0.9)


@pytest.mark.parametrize(
    ("name", "format"),
    [("vllm.json", "vllm"), ("sglang.jsonl", "sglang"), ("aiperf.jsonl", "aiperf"), ("guidellm.json", "guidellm")],
)
def test_format_is_found_out_from_content(tmp_path: Path, name: str, format: str) -> None:
    path = written(tmp_path, (FIXTURES / name).read_text(), "no_extension")
    assert read(path).format == format
    assert read(path).log == read(path, format=format).log


def test_an_unknown_format_names_the_near_one() -> None:
    with pytest.raises(ValueError, match="unknown format 'vlm'; did you mean vllm"):
        read_bench_logs(FIXTURES / "vllm.json", format="vlm")


def test_another_package_adds_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lines", f"{__name__}:LINES", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: LINES)
    log = read(written(tmp_path, "ttft 0.5\nttft 0.75\n", "log.txt"))
    assert log.format == "lines"
    assert times_of(log, 1) == [0.75]
    assert "lines" in registry.reader_names()


def _read_lines(file: Any, chunks: Any = None) -> list[BenchLog]:
    times = [float(line.split()[1]) for line in file.data.decode().splitlines()]
    requests = [ToolRequest(f"{file.path}:{i}", 0.0, np.array([t]), 1, 1) for i, t in enumerate(times, start=1)]
    return [bench_log(ToolRun("lines", str(file.path), requests), chunks)]


LINES = Reader("lines", lambda file: not file.is_folder and file.data.startswith(b"ttft "), _read_lines)
