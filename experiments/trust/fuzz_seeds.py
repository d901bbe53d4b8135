"""Sound files of every kind that is read from outside: what fuzzing starts from."""

from __future__ import annotations

import json
from typing import Any

from hardware_profiles import load_profile

_STUDY = """name: chat
workload: {lengths: azure-conv, arrivals: gamma, cv: 2.0}
rates: [2, 4.5]
window: 24
profile: a100-80gb/llama-3-8b/tp1+vllm-2024
policies: [fcfs, "chunked_prefill:token_budget=512", "vllm_v1@pace:speed=8"]
seeds: 5
precision: 0.05
warmup: 3
slo: {ttft: 1.0, tbt: 0.1}
user: {speed: 5, alpha: 2.5, origin: submission, f: seconds, abandonment: patience, patience: 60}
impatience: {mean: 60, distribution: exponential}
prediction_sigma: 0.5
limits: {max_num_seqs: 256, max_num_batched_tokens: 8192, block_size: 16, watermark: 0.01}
"""
_MIXED = """workload:
  classes:
    - {name: chat, lengths: sharegpt, share: 3, slo: {ttft: 1, tbt: 0.1}, speed: age}
    - {name: code, lengths: azure-code, slo: {ttft: 0.3}, speed: 20, expected_ttft: 0.5}
  arrivals: burst
rates: [2]
requests: 10
profile: a100-80gb/llama-3-8b/tp1
policies: [fcfs]
seeds: [3, 7]
oversize: reject
"""
_TRACED = "workload: {trace: nowhere.csv, format: azure}\nprofile: a.yaml\npolicies: [fcfs]\n"
_GRID = """name: grid
workloads:
  chat: {lengths: sharegpt}
  code: {lengths: azure-code, arrivals: gamma, cv: 2}
profiles: [a100-80gb/llama-3-8b/tp1, h100-80gb/llama-3-8b/tp1]
rates: [1, 2]
requests: 10
policies: [fcfs, edf]
"""
STUDIES = (_STUDY.encode(), _MIXED.encode(), _TRACED.encode())
GRIDS = (_GRID.encode(), _STUDY.encode())

TRACES = {
    "azure": b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
    b"2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:51,879,55\n",
    "mooncake": b'{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}\n'
    b'{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46]}\n',
    "vidur": b"arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,12,3\n0.75,8,2\n1e1,1,1\n",
    "burstgpt": b"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    b"5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,0,1087,API log\n118,GPT-4,417,276,693,API log\n",
    "bailian": b'{"chat_id": 1, "timestamp": 61.1, "input_length": 10, "output_length": 7, "type": "text"}\n'
    b'{"chat_id": 2, "timestamp": 61.5, "input_length": 20, "output_length": 9, "type": "image", "hash_ids": [1]}\n',
}

_ARRAYS: dict[str, Any] = {
    "duration": 1.5,
    "completed": 2,
    "input_lens": [46, 48, 9],
    "output_lens": [3, 2, 0],
    "ttfts": [0.05, 0.06, 0.0],
    "itls": [[0.012, 0.013], [0.02], []],
    "mean_ttft_ms": 55.0,
    "p99_itl_ms": 20.0,
    "request_throughput": 1.3,
}
_VLLM = {
    **{"endpoint_type": "vllm", "tokenizer_id": "t", "model_id": "m", "date": "20250101"},
    **_ARRAYS,
    **{"start_times": [10.5, 10.25, 11.0], "errors": ["", "", "refused"]},
}
_SGLANG = {"backend": "vllm", "dataset_name": "d", "goodput_slos_ms": {"ttft": 100.0, "tpot": 20.0}, **_ARRAYS}
_MS = "ms"


def _aiperf(session: int, start: int, error: object = None) -> dict[str, Any]:
    metrics = {
        "request_latency": {"value": 56.5, "unit": _MS},
        "time_to_first_token": {"value": 30.25, "unit": _MS},
        "inter_chunk_latency": {"value": [12.5, 13.75], "unit": _MS},
        "inter_token_latency": {"value": 13.1, "unit": _MS},
        "input_sequence_length": {"value": 30, "unit": "tokens"},
        "output_sequence_length": {"value": 3, "unit": "tokens"},
    }
    stamps = {"request_start_ns": start, "request_end_ns": start + 57_000_000}
    metadata = {"session_num": session, **stamps, "benchmark_phase": "profiling", "was_cancelled": False}
    return {"metadata": metadata, "metrics": metrics, "error": error}


def _guidellm(start: float, status: str, error: str | None = None) -> dict[str, Any]:
    timings = {"request_start": start, "first_token_iteration": start + 0.05, "last_token_iteration": start + 0.4}
    latencies = {"request_latency": 0.47, "time_to_first_token_ms": 54.7, "inter_token_latency_ms": 12.7}
    info = {"status": status, "error": error, "timings": {**timings, "request_end": start + 0.41}}
    return {"info": info, **latencies, "prompt_tokens": 22, "output_tokens": 34}


_GUIDELLM_RUN = {
    "config": {"slo": {"ttft_ms": 100.0, "tpot_ms": 20.0, "e2el_ms": None}},
    "duration": 1.0,
    "metrics": {"request_totals": {"successful": 1, "errored": 1, "incomplete": 0, "total": 2}},
    "requests": {"successful": [_guidellm(5.5, "completed")], "errored": [_guidellm(6.5, "errored", "e")]},
}
_USAGE = '{"choices": [], "usage": {"completion_tokens": 4}}'
_GENAI = {
    "timestamp": 5,
    "response_timestamps": [6, 9, 11],
    "response_outputs": [
        {"response": 'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'},
        {"response": f"data: {_USAGE}\n\ndata: [DONE]\n\n"},
        {"response": "b"},
    ],
}
_LLMPERF = {
    "error_code": None,
    "ttft_s": 0.5,
    "end_to_end_latency_s": 2.5,
    "number_input_tokens": 7,
    "number_output_tokens": 5,
}


def _json(*values: object) -> bytes:
    return "\n".join(json.dumps(value) for value in values).encode()


BENCH_LOGS = {
    "vllm": _json(_VLLM),
    "sglang": _json(_SGLANG, _SGLANG),
    "aiperf": _json(_aiperf(0, 10**18), _aiperf(1, 10**18 + 5), _aiperf(2, 10**18 + 9, {"code": 500, "type": "x"})),
    "guidellm": _json({"benchmarks": [_GUIDELLM_RUN]}),
    "genai-perf": _json({"experiments": [{"experiment": {"mode": "c"}, "requests": [_GENAI, _GENAI]}]}),
    "llmperf": _json([_LLMPERF, _LLMPERF | {"error_code": 503}]),
}

PROFILES = tuple(
    json.dumps(load_profile(name).model_dump(mode="json"), indent=indent).encode()
    for name, indent in (("a100-80gb/qwen2.5-14b/tp1", None), ("a100-80gb/llama-3-8b/tp1", 1))
)
TABLES = (
    b"kind,prefill_reqs,prefill_tokens,prefill_context,attn_pairs,decode_batch,kv_tokens,latency_s,source\n"
    b"prefill,1,128,0,8256,0,0,0.0125,a\ndecode,0,0,0,0,8,1024,0.011,a\nhybrid,1,64,10,2700,4,600,0.0131,a\n",
)
MODEL_CONFIGS = (
    _json(
        {
            **{"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32},
            **{"num_key_value_heads": 8, "vocab_size": 128256, "torch_dtype": "bfloat16", "_name_or_path": "m/x"},
        }
    ),
)
