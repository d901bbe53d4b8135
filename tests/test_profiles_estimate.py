"""Data sheets, configurations of models, and what is estimated and derived from them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from hardware_profiles import load_profile
from hardware_profiles.coefficients import Seconds, SecondsPerSequence
from hardware_profiles.datasheets import GIB, efficiencies, kv_capacity, load_device, load_model, physical_bounds
from hardware_profiles.derive import MEMORY_BOUND, derive
from hardware_profiles.loader import record_names
from hardware_profiles.model_config import count_parameters, read_model_config
from hardware_profiles.overhead import Overhead
from hardware_profiles.overhead_fit import WholeBatch, fit_overhead, passes, usable
from hardware_profiles.roofline import Assumptions, estimate_latency, estimate_profile
from simulator.latency import Batch, DecodeRun

MADE = date(2026, 1, 2)
LLAMA_3_8B = {
    "_name_or_path": "meta-llama/Meta-Llama-3-8B",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}


def test_physical_bounds_by_hand() -> None:
    bounds = physical_bounds(load_device("h100-80gb"), load_model("llama-3-8b"), 2)
    assert bounds.t0 == pytest.approx(16.06e9 / (2 * 3.35e12))
    assert bounds.s_hi == pytest.approx(16.06e9 / (2 * 989e12))
    assert bounds.k == pytest.approx(131072 / (2 * 3.35e12))
    assert bounds.a == pytest.approx(4 * 32 * 32 * 128 / (2 * 989e12))


def test_kv_heads_bound_how_far_the_kv_cache_splits() -> None:
    device, model = load_device("h100-80gb"), load_model("qwen2-7b")  # 4 KV heads
    assert physical_bounds(device, model, 8).k == physical_bounds(device, model, 4).k


def test_kv_capacity_by_hand() -> None:
    capacity = kv_capacity(load_device("rtx4090-24gb"), load_model("llama-3-8b"), 1)
    assert capacity.tokens == int((0.9 * 23.5 * GIB - 16.06e9 - 1.2 * GIB) // 131072)
    assert capacity.tokens == pytest.approx(41408, rel=0.02)  # vLLM 0.19 logged this
    with pytest.raises(ValueError, match=r"llama-3-70b does not fit on 1 × a100-80gb: weights take 131.4 GiB"):
        kv_capacity(load_device("a100-80gb"), load_model("llama-3-70b"), 1)


def test_efficiencies_are_shares_of_the_bounds() -> None:
    bounds = physical_bounds(load_device("h100-80gb"), load_model("llama-3-8b"), 1)
    latency = estimate_latency(load_device("h100-80gb"), load_model("llama-3-8b"), 1)
    shares = efficiencies(latency, bounds)
    assert shares.mfu == pytest.approx(Assumptions().mfu, rel=1e-3)
    assert shares.kv_bandwidth == pytest.approx(Assumptions().kv_bandwidth, rel=1e-3)
    assert shares.weights_bandwidth
    assert shares.weights_bandwidth < Assumptions().weights_bandwidth


@pytest.mark.parametrize("name", record_names("models"))
def test_weights_of_shipped_models_follow_from_their_shape(name: str) -> None:
    model = load_model(name)
    counted = count_parameters(
        model.num_layers,
        model.hidden_size,
        model.intermediate_size,
        model.num_heads,
        model.num_kv_heads,
        model.head_dim,
        model.vocab_size,
    )
    if name.startswith(("opt", "bloom")):  # two matrices in an MLP, not three; tied embeddings
        counted -= model.num_layers * model.hidden_size * model.intermediate_size
        counted -= model.vocab_size * model.hidden_size
    assert counted == pytest.approx(model.num_parameters, rel=0.005)


def test_shape_is_read_from_a_configuration(tmp_path: Path) -> None:
    shape = read_model_config(_config(tmp_path, LLAMA_3_8B))
    assert shape.name == "meta-llama-3-8b"
    assert shape.num_parameters == 8_030_261_248
    assert shape.kv_bytes_per_token == 131072
    assert shape.head_dim == 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, r"config.json: hidden_size = None: a positive whole number is needed"),
        ({"num_hidden_layers": -1}, r"config.json: num_hidden_layers = -1"),
        ({"num_local_experts": 8}, r"config.json: num_local_experts = 8: mixtures of experts are not covered"),
        ({"torch_dtype": "int4"}, r"config.json: torch_dtype = 'int4': not one of float32"),
    ],
)
def test_configuration_that_is_not_covered_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_model_config(_config(tmp_path, LLAMA_3_8B | changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"config.json: not valid JSON: "),
        (b"\xff", r"config.json: not valid JSON: "),
        (b"[]", r"config.json: not a JSON object"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_model_config(path)


def test_estimate_is_marked_and_states_its_assumptions_and_error() -> None:
    profile = estimate_profile(load_device("l40s-48gb"), load_model("qwen2.5-14b"), 1, MADE)
    assert profile.kind == "estimated"
    assert "mfu 0.8" in profile.warnings[0]
    assert "% off 41 calibration tables" in profile.warnings[1]


@pytest.mark.parametrize("name", ["a100-80gb/llama-3-8b/tp1", "h100-80gb/llama-3-70b/tp4", "h200-141gb/qwen3-32b/tp1"])
def test_estimate_is_near_the_calibrated_profile(name: str) -> None:
    profile = load_profile(name)
    guess = estimate_latency(load_device(profile.device), load_model(profile.model), profile.tp)
    for batch in (Batch(0, 0, 0, 1, 500, 1), Batch(0, 0, 0, 64, 64_000, 64), Batch(2048, 0, 2_098_176, 0, 0, 1)):
        assert guess.step_time(batch) == pytest.approx(profile.latency.step_time(batch), rel=0.25)


def test_more_gpus_are_faster_and_all_reduces_cost() -> None:
    device, model = load_device("h100-80gb"), load_model("llama-3-70b")
    batch = Batch(2048, 0, 2_098_176, 0, 0, 1)
    two, four = (estimate_latency(device, model, tp).step_time(batch) for tp in (2, 4))
    assert two / 2 < four < two


def test_derived_profile_scales_what_memory_bounds() -> None:
    base = load_profile("a100-80gb/llama-3-8b/tp1")
    profile = derive(base, load_device("a100-80gb"), load_device("a100-40gb"))
    assert profile == load_profile("a100-40gb/llama-3-8b/tp1")
    before, after = base.coefficients.latency(), profile.coefficients.latency()
    for name, value in before:
        ratio = 2.039 / 1.555 if name in MEMORY_BOUND else 1.0
        assert getattr(after, name) == pytest.approx(ratio * value, rel=1e-5)
    assert profile.warnings[0].startswith("derived from a100-80gb/llama-3-8b/tp1: t0, s_lo, k, kp × 1.31")


class Ticks:
    """Two seconds an iteration, and one more for each thousand KV tokens."""

    def step_time(self, batch: Batch) -> float:
        return 2.0 + batch.kv_tokens / 1000

    def decode_run(self, num_decodes: int, kv_tokens: int) -> DecodeRun:
        return DecodeRun(2.0 + kv_tokens / 1000, num_decodes / 1000)


def test_whole_batch_is_its_prefill_passes_and_its_decode_iterations() -> None:
    taken = passes(Ticks(), batch=3, length=4096)  # prompts: two in a pass of 8192 tokens, then one
    assert taken.iterations == 2 + 4095
    assert taken.sequences == 3 * 4096
    reads = sum(3 * (4097 + i) / 1000 for i in range(4095))
    assert taken.time == pytest.approx(2 * 2.0 + 4095 * 2.0 + reads)


def test_overhead_fit_recovers_a_known_overhead_from_half_of_the_pairs() -> None:
    names = [f"h100-80gb/{rest}" for rest in ("llama-3-8b/tp1", "llama-3-8b/tp2", "llama-3-70b/tp4", "qwen2-72b/tp4")]
    profiles = {(p.device, p.tp, p.model): p for p in map(load_profile, [*names, "h100-80gb/qwen2-7b/tp1"])}
    truth = Overhead(
        name="truth",
        q0=Seconds(value=0.002),
        q0_per_further_gpu=Seconds(value=0.001),
        q1=SecondsPerSequence(value=5e-5),
        source="the test",
    )
    rows = [
        WholeBatch("x", *pair[:1], pair[2], pair[1], b, length, passes(p.with_overhead(truth).latency, b, length).time)
        for pair, p in profiles.items()
        for b in (1, 16, 64)
        for length in (128, 1024)
    ]
    found = fit_overhead("found", rows, profiles, "the test")
    assert found.q0.value == pytest.approx(0.002, rel=0.01)
    assert found.q0_per_further_gpu.value == pytest.approx(0.001, rel=0.01)
    assert found.q1.value == pytest.approx(5e-5, rel=0.01)
    assert found.in_sample
    assert found.out_of_sample
    assert found.in_sample.pairs + found.out_of_sample.pairs == len(profiles)
    assert found.out_of_sample.with_overhead < 0.5


def test_pair_with_impossible_rows_is_left_out_and_so_are_batches_that_do_not_fit() -> None:
    profile = load_profile("h100-80gb/llama-3-8b/tp1")
    profiles = {(profile.device, 1, profile.model): profile}
    fine = WholeBatch("x", profile.device, profile.model, 1, 1, 128, 1.0)
    assert usable([fine, fine._replace(batch=10_000)], profiles) == [fine]
    assert usable([fine, fine._replace(latency=0.1)], profiles) == []


def _config(folder: Path, content: dict[str, object]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return path
