"""Measures a calibration table on this machine's GPU, for a model of a given shape with random weights.

A few layers are timed and scaled up: latency = time of the layers · (layers of the model / layers timed) + time of
the final norm and the LM head, which is counted once and on one token of each request. Left out: embedding,
rotary embeddings, sampling beyond the arg max, and all CPU time (on a GPU the iteration is replayed as a CUDA
graph). Attention is PyTorch's scaled_dot_product_attention on contiguous caches, not a paged kernel; behind cached
tokens in one masked call or in two, whichever is faster (`torch_model.Layers.layers`). Timed though engines avoid it:
putting the attention of chunks and decodes together, and adding up those two calls.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from pydantic import PositiveInt

from hardware_profiles.coefficients import Frozen
from hardware_profiles.datasheets import ModelShape
from hardware_profiles.tables import Row
from hardware_profiles.torch_model import Iteration, Layers, import_torch


class MeasurePlan(Frozen):
    """What is measured, and how often; the defaults are about 280 iterations."""

    num_layers: PositiveInt = 4
    """Layers that are timed."""
    repeats: PositiveInt = 10
    """Timed runs of each iteration, of which the median counts."""
    warm_up: PositiveInt = 3
    """Runs of each iteration before the timed ones."""
    max_kv_tokens: PositiveInt = 400_000
    """Iterations that hold more in their caches are left out."""
    decode_batches: tuple[PositiveInt, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256)
    decode_contexts: tuple[PositiveInt, ...] = (16, 128, 512, 2048, 8192)
    prefill_tokens: tuple[PositiveInt, ...] = (16, 32, 64, 128, 256, 384, 512, 1024, 2048, 4096, 8192)
    prefill_contexts: tuple[int, ...] = (0, 1024, 8192)
    hybrid_tokens: tuple[PositiveInt, ...] = (32, 128, 512, 2048)
    hybrid_batches: tuple[PositiveInt, ...] = (4, 32, 128)

    def iterations(self) -> Iterator[Iteration]:
        """Decode, prefill and hybrid iterations whose caches are within `max_kv_tokens`.

        Hybrid ones prefill n of `hybrid_tokens`, and n less the decodes, as chunked prefill fills its budget: GPUs work
        in tiles of tokens, and one tile begun costs like a full one.
        """
        decodes = product(self.decode_batches, self.decode_contexts)
        prefills = product(self.prefill_tokens, self.prefill_contexts)
        hybrids = product(self.hybrid_tokens, self.prefill_contexts[:2], self.hybrid_batches, self.decode_contexts)
        planned = [Iteration(decode_batch=d, decode_context=context) for d, context in decodes]
        planned += [Iteration(1, p, context) for p, context in prefills]
        for n, context, d, decode_context in hybrids:
            planned += [Iteration(1, p, context, d, decode_context) for p in (n, n - d) if p > 0]
        return (iteration for iteration in planned if iteration.kv_tokens_held <= self.max_kv_tokens)


def measure(shape: ModelShape, device: str, plan: MeasurePlan | None = None) -> Iterator[Row]:
    """The rows of a calibration table, each measured on `device` ("cpu", "cuda", "cuda:1") when it is asked for.

    An iteration for which the GPU's memory does not suffice is left out. Raises ValueError if PyTorch or the device is
    not there, or the layers do not fit into it.
    """
    torch, plan = import_torch(), plan or MeasurePlan()
    source = _source(torch, device)
    try:
        layers = Layers(shape, plan.num_layers, device)
    except torch.OutOfMemoryError:
        raise ValueError(f"{plan.num_layers} layers and the LM head of {shape.name} do not fit into {device}") from None
    return _rows(torch, layers, shape.num_layers / plan.num_layers, device, plan, source)


def _rows(torch: Any, layers: Layers, scale: float, device: str, plan: MeasurePlan, source: str) -> Iterator[Row]:
    for iteration in plan.iterations():
        try:
            with torch.inference_mode():
                latency = _latency(torch, layers, iteration, scale, device, plan)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        else:
            yield row_of(iteration, latency, source)


def row_of(iteration: Iteration, latency: float, source: str) -> Row:
    """The row of a calibration table that an iteration of `latency` seconds makes."""
    prefills, decodes = iteration.prefill_reqs, iteration.decode_batch
    chunk = iteration.chunk
    return Row(
        kind="hybrid" if prefills and decodes else "prefill" if prefills else "decode",
        prefill_reqs=prefills,
        prefill_tokens=iteration.prefill_tokens,
        prefill_context=prefills * iteration.context,
        attn_pairs=prefills * (chunk * iteration.context + chunk * (chunk + 1) // 2),
        decode_batch=decodes,
        kv_tokens=decodes * iteration.decode_context,
        latency_s=latency,
        source=source,
    )


def _source(torch: Any, device: str) -> str:
    """Tag of the rows: what measured them. Raises ValueError for a device that is not there, or is no CPU or GPU."""
    if device == "cpu":
        return f"measured-cpu-torch{torch.__version__}"
    number = re.fullmatch(r"cuda(?::(\d+))?", device)
    if number is None:
        raise ValueError(f"device {device!r}: not one of cpu, cuda, cuda:1 and the like")
    if not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: PyTorch finds no CUDA device on this machine")
    if int(number[1] or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device!r}: PyTorch finds {torch.cuda.device_count()} CUDA devices on this machine")
    name = torch.cuda.get_device_name(device).replace(" ", "-").lower()
    return f"measured-{name}-torch{torch.__version__}"


def _latency(torch: Any, layers: Layers, iteration: Iteration, scale: float, device: str, plan: MeasurePlan) -> float:
    """Seconds of the whole model: the layers scaled up, attention in the faster of its ways, and the head once."""
    timed = _time_on_gpu if device.startswith("cuda") else _time_on_cpu
    ways = (False, True) if iteration.context else (False,)
    of_layers = min(timed(torch, layers.layers(iteration, in_two), plan) for in_two in ways)
    return scale * of_layers + timed(torch, layers.head(iteration), plan)


def _time_on_cpu(torch: Any, run: Callable[[], Any], plan: MeasurePlan) -> float:
    """Median seconds of one run by the wall clock."""
    for _ in range(plan.warm_up):
        run()
    return statistics.median(_wall_clock(run) for _ in range(plan.repeats))


def _wall_clock(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _time_on_gpu(torch: Any, run: Callable[[], Any], plan: MeasurePlan) -> float:
    """Median seconds of one run between CUDA events, replayed as a CUDA graph: no launch waits for the CPU."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(plan.warm_up):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    graph.replay()
    events = [_between_events(torch, graph.replay) for _ in range(plan.repeats)]
    torch.cuda.synchronize()
    milliseconds = [float(start.elapsed_time(end)) for start, end in events]
    return statistics.median(milliseconds) / 1000.0


def _between_events(torch: Any, run: Callable[[], Any]) -> Sequence[Any]:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    return start, end
