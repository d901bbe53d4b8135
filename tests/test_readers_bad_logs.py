"""What is wrong with a benchmark log is said in one line: file, line, place and value."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.benchlogs import LogError, chunks, read_bench_logs
from simulator.metrics import summary_values

FIXTURES = Path(__file__).parent / "fixtures" / "benchlogs"
VLLM = json.loads((FIXTURES / "vllm.json").read_text())
AIPERF = (FIXTURES / "aiperf.jsonl").read_text()
GUIDELLM = (FIXTURES / "guidellm.json").read_text()
LLMPERF = {"error_code": None, "ttft_s": 0.5, "end_to_end_latency_s": 2.5, "number_input_tokens": 7}
GENAI = {"timestamp": 5, "response_timestamps": [6, 7], "response_outputs": [{"response": "a"}, {"response": "b"}]}


def vllm(column: str, index: int, value: Any) -> str:
    run = json.loads(json.dumps(VLLM))
    run[column][index] = value
    return json.dumps(run)


def vllm_run(**changes: Any) -> str:
    return json.dumps({**VLLM, **changes})


def aiperf(old: str, new: str) -> str:
    first, *rest = AIPERF.splitlines()
    assert old in first
    return "\n".join([rest[0], first.replace(old, new), *rest[1:]])


def llmperf(**changes: Any) -> str:
    return json.dumps([{**LLMPERF, "number_output_tokens": 5, **changes}])


def genai(**changes: Any) -> str:
    return json.dumps({"experiments": [{"requests": [{**GENAI, **changes}]}]})


LAST = len(json.dumps(VLLM))
CASES = [
    # content, line (0: none), what is said
    ("", 0, "the file is empty"),
    ("\n \n", 0, "the file is empty"),
    ("\ufeff \n", 0, "the file is empty"),
    ("not a log", 1, "not JSON (Expecting value, column 1): 'not a log'"),
    (b'{\n"a": "\xff"}', 2, "byte 0xff is not UTF-8"),
    (json.dumps(VLLM)[: LAST // 2], 1, "the file ends in the middle of a JSON value"),
    (json.dumps(VLLM, indent=1)[:40], 3, "the file ends in the middle of a JSON value"),
    (AIPERF[:-40], 4, "the file ends in the middle of a JSON value"),
    (AIPERF + "}", 5, "not JSON (Expecting value, column 1): '}'"),
    ("[" * 200_000, 1, "nested too deeply"),
    ('{"a":' * 200_000, 1, "nested too deeply"),
    ("9" * 5000, 1, "Exceeds the limit"),
    ('{"duration": 1, "duration": 2}', 1, "key 'duration' comes twice in one object"),
    (
        '{"a": 1}',
        1,
        "no known format (smoothserve, vllm, sglang, aiperf, genai-perf, guidellm, llmperf): an object with",
    ),
    ("[1, 2]", 1, "no known format"),
    ("3", 1, "no known format"),
    ("[]", 1, "no known format"),
    (vllm_run(itls=None), 1, "itls is missing: requests are recorded only with --save-detailed"),
    (vllm_run(input_lens=[]), 1, "output_lens has 6 entries, input_lens has 0"),
    (vllm_run(**{k: [] for k, v in VLLM.items() if isinstance(v, list)}), 1, "the run has no requests"),
    (vllm_run(ttfts=3), 1, "ttfts: 3 is not a list"),
    (vllm_run(duration="12"), 1, "duration: '12' is not a number"),
    (vllm_run(duration=float("nan")), 1, "duration: nan is not finite"),
    (vllm("ttfts", 2, float("nan")), 1, "ttfts[2]: nan is not finite"),
    (vllm("ttfts", 2, -0.5), 1, "ttfts[2]: -0.5 must be ≥ 0"),
    (vllm("ttfts", 2, 0.0), 1, "ttfts[2]: 0.0 of a request that finished with 30 tokens"),
    (vllm("ttfts", 2, True), 1, "ttfts[2]: true is not a number"),
    (vllm("ttfts", 2, "0.5"), 1, "ttfts[2]: '0.5' is not a number"),
    (vllm("ttfts", 2, None), 1, "ttfts[2]: null is not a number"),
    (vllm("ttfts", 2, 1e300), 1, "ttfts[2]: 1e+300 is no time in s"),
    (vllm("ttfts", 2, 10**400), 1, "ttfts[2]: a number of over 40 digits is too large"),
    (vllm("itls", 2, [0.1, float("inf")]), 1, "itls[2][1]: inf is not finite"),
    (vllm("itls", 2, [0.1, -1e-9]), 1, "itls[2][1]: -1e-09 must be ≥ 0"),
    (vllm("itls", 2, [0.1, "x"]), 1, "itls[2][1]: 'x' is not a number"),
    (vllm("itls", 2, [0.1, [0.2]]), 1, "itls[2][1]: a list of 1 is not a number"),
    (vllm("itls", 2, [0.1, 10**400]), 1, "itls[2][1]: a number of over 40 digits is too large"),
    (vllm("itls", 2, [True]), 1, "itls[2][0]: true is not a number"),
    (vllm("itls", 2, []), 1, None),
    (vllm("output_lens", 2, 3.5), 1, "output_lens[2]: 3.5 is not a whole number"),
    (vllm("output_lens", 2, -3), 1, "output_lens[2]: -3 must be ≥ 0"),
    (vllm("output_lens", 2, 2**31), 1, "output_lens[2]: 2147483648 must be ≤ 2147483647"),
    (vllm("output_lens", 2, 2**31 - 1), 1, "itls[2]: 2147483647 tokens, 2147483767 in all: more than 10000000"),
    (vllm("start_times", 2, 1e300), 1, "start_times[2]: 1e+300 is no time in s"),
    (vllm("errors", 2, 7), 1, "errors[2]: 7 is not a text"),
    (aiperf('"unit": "ms"', '"unit": "furlongs"'), 2, "'furlongs' is no unit of time (s, sec, ms, us, µs, ns)"),
    (aiperf('"request_start_ns"', '"started"'), 2, "metadata: request_start_ns is missing (there are: session_num"),
    (aiperf('"request_latency"', '"latency"'), 2, "metrics: request_latency is missing"),
    (aiperf('"metrics": {', '"metrics": [], "x": {'), 2, "metrics: a list of 0 is not an object"),
    (aiperf('"metadata": {', '"metadata": null, "x": {'), 2, "metadata: null is not an object"),
    (aiperf('"request_end_ns": 1', '"request_end_ns": '), 2, "is earlier than request_start_ns"),
    (GUIDELLM.replace('"token_iterations"', '"x"').replace('"output_tokens"', '"y"'), 0, None),
    (
        GUIDELLM.replace('"last_token_iteration": 1', '"last_token_iteration": '),
        1,
        "is earlier than the time before it",
    ),
    (GUIDELLM.replace('"timings"', '"x"'), 1, "benchmarks[0].requests.successful[0].info: timings is missing"),
    ('{"benchmarks": []}', 0, "holds no run"),
    (llmperf(ttft_s=3), 1, "[0].ttft_s: 3 of a request that finished with 5 tokens after 2.5 s"),
    (llmperf(ttft_s=0), 1, "[0].ttft_s: 0 of a request"),
    (llmperf(number_output_tokens="5"), 1, "[0].number_output_tokens: '5' is not a whole number"),
    (genai(response_timestamps=[7, 6]), 1, "experiments[0].requests[0].response_timestamps[1]: 6 is earlier than"),
    (genai(response_timestamps=[3, 6]), 1, "response_timestamps[0]: 3 is earlier than the request's timestamp (5)"),
    (genai(response_timestamps=[6.5, 7]), 1, "response_timestamps[0]: 6.5 is not a whole number"),
    (genai(response_timestamps=[6, True]), 1, "response_timestamps[1]: true is not a whole number"),
    (genai(response_timestamps=[6, 2**63]), 1, "response_timestamps[1]: 9223372036854775808 must be ≤"),
    (genai(response_timestamps=[6]), 1, "response_outputs: a list of 2 does not match the 1 response_timestamps"),
    (genai(response_outputs=[{"response": 1}, 2]), 1, "response_outputs[0]: an object of 1 is neither a text nor"),
    (json.dumps({"experiments": [{"requests": []}]}), 1, "experiments[0]: the run has no requests"),
]


@pytest.mark.parametrize(("content", "line", "said"), CASES, ids=range(len(CASES)))
def test_bad_log_is_named(tmp_path: Path, content: str | bytes, line: int, said: str | None) -> None:
    path = tmp_path / "log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if said is None:
        for log in read_bench_logs(path):
            assert log.notes
        return
    with pytest.raises(LogError) as caught:
        read_bench_logs(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 400


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="No such file"):
        read_bench_logs(tmp_path / "nowhere")
    with pytest.raises(LogError, match="neither a token log"):
        read_bench_logs(tmp_path)
    with pytest.raises(LogError, match="/dev/null: is not a file"):
        read_bench_logs(os.devnull)
    with pytest.raises(LogError, match="is not a folder of ours"):
        read_bench_logs(FIXTURES / "vllm.json", format="smoothserve")
    with pytest.raises(LogError, match="is not a file"):
        read_bench_logs(tmp_path, format="vllm")


def test_the_wrong_format_is_refused() -> None:
    for name in ("vllm", "sglang", "genai-perf", "guidellm", "llmperf"):
        with pytest.raises(LogError, match=r"aiperf.jsonl:1"):
            read_bench_logs(FIXTURES / "aiperf.jsonl", format=name)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(LogError, match=r"a.parquet: is damaged"):
        read_bench_logs(tmp_path)


def test_a_request_of_a_million_tokens_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "log"
    gaps = np.full(999_999, 0.001)
    path.write_text(vllm_run(**{**{k: v[:1] for k, v in VLLM.items() if isinstance(v, list)}, "output_lens": [10**6]}))
    run = json.loads(path.read_text()) | {"itls": [gaps.tolist()]}
    path.write_text(json.dumps(run))
    (log,) = read_bench_logs(path)
    assert log.log.num_tokens().tolist() == [10**6]
    assert summary_values(log.log)["tpot_mean"] == pytest.approx(0.001)


@pytest.mark.parametrize("bound", ["MAX_ANSWER", "MAX_TOKENS"])
def test_too_many_tokens_are_refused_before_they_are_made(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, bound, 29)
    with pytest.raises(LogError, match="more than 29 are not read"):
        read_bench_logs(FIXTURES / "vllm.json")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["vllm.json", "sglang.jsonl", "aiperf.jsonl", "guidellm.json"]),
    position=st.floats(0, 1),
    replacement=st.sampled_from(["", "null", "-1", '"x"', "[]", "{}", "1e999", "true", "NaN", ",", "}", "0"]),
    width=st.integers(0, 12),
)
def test_any_damage_is_read_or_named(tmp_path: Path, name: str, position: float, replacement: str, width: int) -> None:
    text = (FIXTURES / name).read_text()
    start = int(position * len(text))
    path = tmp_path / "log"
    path.write_text(text[:start] + replacement + text[start + width :])
    with contextlib.suppress(LogError):
        for log in read_bench_logs(path):
            assert (np.diff(log.log.arrival) >= 0).all()
            assert np.isfinite(log.log.token_times().times).all()
            summary_values(log.log)
