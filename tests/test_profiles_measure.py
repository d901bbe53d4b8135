"""What is measured, on a CPU with a tiny shape; none of this was run on a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

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


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is there")
def test_missing_pytorch_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match="measuring needs PyTorch: pip install torch"):
        measure(TINY, "cpu", PLAN)


@needs_torch
def test_measured_table_reads_back(tmp_path: Path) -> None:
    seen: list[Row] = []
    rows = measure(TINY, "cpu", PLAN, seen.append)
    assert rows == seen
    assert len(rows) == len(list(PLAN.iterations()))
    write_table(rows, tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert len(table) == len(rows)
    assert (table.latency > 0).all()


@needs_torch
def test_chunked_prefill_attends_to_its_context_and_to_itself() -> None:
    torch = import_torch()
    layers = Layers(TINY, 1, "cpu")
    heads, kv_heads, dim, context, chunk = 4, 2, 16, 5, 3
    q = torch.randn(chunk, heads * dim)
    k, v = torch.randn(chunk, kv_heads * dim), torch.randn(chunk, kv_heads * dim)
    cache = torch.randn(2, 1, kv_heads, context + chunk, dim)
    attended = layers._attend(q, k, v, cache, chunk).reshape(chunk, heads, dim)
    keys, values = cache[0, 0], cache[1, 0]
    assert torch.equal(keys[:, context:], k.reshape(chunk, kv_heads, dim).transpose(0, 1))
    for i in range(chunk):
        for head in range(heads):
            reach = slice(0, context + i + 1)
            group = head // (heads // kv_heads)
            scores = keys[group, reach] @ q.reshape(chunk, heads, dim)[i, head] / dim**0.5
            expected = torch.softmax(scores, 0) @ values[group, reach]
            assert torch.allclose(attended[i, head], expected, atol=1e-5)


@needs_torch
def test_missing_gpu_is_said_in_one_line() -> None:
    if import_torch().cuda.is_available():
        pytest.skip("a GPU is there")
    with pytest.raises(ValueError, match="device 'cuda': PyTorch finds no CUDA device"):
        measure(TINY, "cuda", PLAN)
