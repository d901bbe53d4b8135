"""What is measured, with a tiny shape: on a CPU, and on a GPU where there is one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.datasheets import ModelShape
from hardware_profiles.measure import MeasurePlan, measure, row_of
from hardware_profiles.tables import Row, read_table, write_table
from hardware_profiles.torch_model import Iteration, Layers, import_torch

TINY = ModelShape(
    name="tiny",
    title="tiny",
    weight_bytes=1e6,
    num_layers=4,
    hidden_size=64,
    intermediate_size=96,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=128,
    source="the test",
)
PLAN = MeasurePlan(
    num_layers=2,
    repeats=2,
    warm_up=1,
    max_kv_tokens=2000,
    decode_batches=(1, 4, 16),
    decode_contexts=(16, 64, 256),
    prefill_tokens=(8, 32, 128),
    prefill_contexts=(0, 64),
    hybrid_tokens=(8, 32),
    hybrid_batches=(2,),
)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")


def test_row_counts_what_the_iteration_computes() -> None:
    hybrid = Iteration(prefill_reqs=2, chunk=3, context=5, decode_batch=4, decode_context=10)
    pairs = 2 * (3 * 5 + (1 + 2 + 3))
    assert row_of(hybrid, 0.1, "x") == Row("hybrid", 2, 6, 10, pairs, 4, 40, 0.1, "x")
    assert row_of(Iteration(decode_batch=4, decode_context=10), 0.1, "x").kind == "decode"
    assert row_of(Iteration(1, 7), 0.1, "x")[:5] == ("prefill", 1, 7, 0, 28)


def test_default_plan_covers_every_kind_and_no_more_memory_than_it_says() -> None:
    iterations = list(MeasurePlan(max_kv_tokens=100_000).iterations())
    kinds = {row_of(iteration, 1.0, "x").kind for iteration in iterations}
    assert kinds == {"prefill", "decode", "hybrid"}
    assert max(iteration.kv_tokens_held for iteration in iterations) <= 100_000
    hybrids = [each for each in MeasurePlan().iterations() if each.chunk and each.decode_batch]
    assert {each.chunk for each in hybrids} >= {512, 512 - 4, 512 - 32, 512 - 128, 2048 - 128}
    assert {(each.context, each.num_tokens) for each in hybrids} >= {(0, 512), (1024, 512), (1024, 516)}
    assert min(each.chunk for each in hybrids) > 0


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is there")
def test_missing_pytorch_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match="measuring needs PyTorch: pip install torch"):
        measure(TINY, "cpu", PLAN)


@needs_torch
def test_measured_table_reads_back(tmp_path: Path) -> None:
    rows = list(measure(TINY, "cpu", PLAN))
    assert len(rows) == len(list(PLAN.iterations()))
    write_table(iter(rows), tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert len(table) == len(rows)
    assert (table.latency > 0).all()


def devices() -> list[str]:
    there = importlib.util.find_spec("torch") is not None and import_torch().cuda.is_available()
    return ["cpu", "cuda"] if there else ["cpu"]


@needs_torch
@pytest.mark.parametrize("device", devices())
def test_a_chunk_attends_to_what_is_before_it_and_to_itself(device: str) -> None:
    torch = import_torch()
    layers = Layers(TINY, 1, device)
    context, chunk, near = 5, 3, {"cpu": 1e-5, "cuda": 2e-2}[device]
    q, kv, cache = layers._random(chunk, 4 * 16), layers._random(chunk, 2 * 2 * 16), layers._caches(1, 5 + 3)[0]
    masked, in_two = (layers._attend(q, kv, cache, chunk, way) for way in (False, True))
    assert torch.equal(cache[0, 0, :, context:], kv[:, :32].reshape(chunk, 2, 16).transpose(0, 1))
    for i in range(chunk):
        everything, before, own = (
            naive_attention(q[i], cache[:, 0, :, start:end]) for start, end in ((0, 6 + i), (0, 5), (5, 6 + i))
        )
        assert torch.allclose(masked[i], everything, atol=near)
        assert torch.allclose(in_two[i], before + own, atol=near)


@needs_torch
@pytest.mark.parametrize("device", devices())
def test_a_layer_is_a_transformers(device: str) -> None:
    torch = import_torch()
    functional = torch.nn.functional
    near = {"rtol": {"cpu": 1e-4, "cuda": 0.05}[device], "atol": {"cpu": 1e-5, "cuda": 0.05}[device]}
    layers, iteration = Layers(TINY, 1, device), Iteration(1, 2, 5, decode_batch=3, decode_context=7)
    residual, hidden = layers._random(5, 64), layers._random(5, 64)
    prefill, decode = layers._caches(1, 7)[0], layers._caches(3, 7)[0]
    weights = {name: weight.float() for name, weight in layers._weights[0].items()}
    with torch.inference_mode():
        total, added = layers._layer(residual, hidden, layers._weights[0], iteration, prefill, decode, False)
    seen = [prefill[:, 0, :, :6], prefill[:, 0], *decode.unbind(1)]  # by the two tokens of the chunk and by each decode
    for i, cache in enumerate(seen):
        x = (residual + hidden)[i].float()
        q = (functional.rms_norm(x, x.shape) @ weights["qkv"].T)[: 4 * 16]
        x = x + naive_attention(q, cache.float()) @ weights["out"].T
        gate, up = (functional.rms_norm(x, x.shape) @ weights["up"].T).split(96)
        assert torch.allclose(total[i].float(), x, **near)
        assert torch.allclose(added[i].float(), (gate * torch.sigmoid(gate) * up) @ weights["down"].T, **near)


@needs_torch
@pytest.mark.parametrize("in_two", [False, True])
def test_what_is_run_is_what_the_row_says(in_two: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    functional = import_torch().nn.functional
    weights: list[tuple[int, int]] = []  # address, and tokens that it is applied to
    attended: list[tuple[int, int, int, int]] = []  # address of the cache; requests, queries and keys of each
    norms: list[int] = []
    linear = functional.linear

    def recorded_linear(x: Any, weight: Any) -> Any:
        weights.append((weight.data_ptr(), len(x)))
        return linear(x, weight)

    def recorded_attention(queries: Any, cache: Any, mask: Any) -> Any:
        attended.append((cache.untyped_storage().data_ptr(), len(queries), queries.shape[2], cache.shape[3]))
        return attention(queries, cache, mask)

    monkeypatch.setattr(functional, "linear", recorded_linear)
    layers, iteration = Layers(TINY, 2, "cpu"), Iteration(1, 4, 8, decode_batch=3, decode_context=16)
    row = row_of(iteration, 1.0, "x")
    add_and_norm, attention = layers._added_and_normed, layers._attention
    layers._attention = recorded_attention  # type: ignore[method-assign]
    layers._added_and_normed = lambda *both: norms.append(len(both[0])) or add_and_norm(*both)  # type: ignore[func-returns-value]
    layers.layers(iteration, in_two)()
    assert [tokens for _, tokens in weights] == [row.prefill_tokens + row.decode_batch] * 4 * 2
    assert len({address for address, _ in weights}) == 4 * 2
    assert norms == [row.prefill_tokens + row.decode_batch] * 2 * 2
    of_chunk = [(1, 4, 4), (1, 4, 8)] if in_two else [(1, 4, 12)]
    assert [call[1:] for call in attended] == [*of_chunk, (3, 1, 16)] * 2
    assert row.attn_pairs == 4 * 8 + 4 * 5 // 2
    assert (row.prefill_context, row.kv_tokens) == (8, 3 * 16)
    assert len({address for address, *_ in attended}) == 2 * 2
    weights.clear(), norms.clear()
    layers.head(iteration)()
    assert ([tokens for _, tokens in weights], norms) == ([4], [4])  # one token of each request


def naive_attention(q: Any, cache: Any) -> Any:
    """Attention of one token, query (4 · 16,), to all tokens of a cache (2, 2, tokens, 16), head by head."""
    torch, (keys, values) = import_torch(), cache
    heads = [(head, keys[head // 2], values[head // 2]) for head in range(4)]
    return torch.cat([torch.softmax(k @ q[16 * h : 16 * h + 16] / 4.0, 0) @ v for h, k, v in heads])


@needs_torch
def test_missing_gpu_is_said_in_one_line() -> None:
    if import_torch().cuda.is_available():
        pytest.skip("a GPU is there")
    with pytest.raises(ValueError, match="device 'cuda': PyTorch finds no CUDA device"):
        measure(TINY, "cuda", PLAN)
