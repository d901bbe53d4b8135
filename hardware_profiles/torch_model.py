"""Some layers of a transformer with random weights, to be timed: the arithmetic and traffic of one iteration."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from hardware_profiles.datasheets import ModelShape


def import_torch() -> Any:
    """PyTorch; raises ValueError, with what to do, if it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ValueError("measuring needs PyTorch: pip install torch") from None


class Iteration(NamedTuple):
    """One iteration of equal requests: chunks of `chunk` tokens behind `context` cached ones, and decodes."""

    prefill_reqs: int = 0
    chunk: int = 0
    context: int = 0
    decode_batch: int = 0
    decode_context: int = 0
    """Tokens that each decoding request attends to, the one being fed included."""

    @property
    def prefill_tokens(self) -> int:
        """P: tokens of all chunks."""
        return self.prefill_reqs * self.chunk

    @property
    def num_tokens(self) -> int:
        """n = P + D."""
        return self.prefill_tokens + self.decode_batch

    @property
    def kv_tokens_held(self) -> int:
        """Tokens whose keys and values lie in the caches while it runs."""
        return self.prefill_reqs * (self.context + self.chunk) + self.decode_batch * self.decode_context


class Layers:
    """`num_layers` decoder layers (RMS norm, grouped-query attention, gated MLP) and the LM head.

    Every layer has weights and caches of its own, so that none of them stays in the GPU's L2 cache between
    layers. Rotary embeddings are left out: elementwise work that engines fuse.
    """

    def __init__(self, shape: ModelShape, num_layers: int, device: str) -> None:
        self._torch = torch = import_torch()
        self._bias = importlib.import_module("torch.nn.attention.bias")
        self._shape = shape
        self._num_layers = num_layers
        self._device = device
        self._dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        query, kv = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
        sizes = {
            "qkv": (query + 2 * kv, shape.hidden_size),
            "out": (shape.hidden_size, query),
            "up": (2 * shape.intermediate_size, shape.hidden_size),
            "down": (shape.hidden_size, shape.intermediate_size),
        }
        self._weights = [{k: self._random(*size) for k, size in sizes.items()} for _ in range(num_layers)]
        self._head = self._random(shape.vocab_size, shape.hidden_size)
        self._norm = torch.ones(shape.hidden_size, device=device, dtype=self._dtype)

    def layers(self, iteration: Iteration) -> Callable[[], Any]:
        """The layers on one iteration: a function of no arguments, its inputs and caches allocated."""
        hidden = self._random(iteration.num_tokens, self._shape.hidden_size)
        prefill = self._caches(iteration.prefill_reqs, iteration.context + iteration.chunk)
        decode = self._caches(iteration.decode_batch, iteration.decode_context)

        def run() -> Any:
            x = hidden
            for i, weights in enumerate(self._weights):
                x = self._layer(x, weights, iteration, prefill[i], decode[i])
            return x

        return run

    def head(self, iteration: Iteration) -> Callable[[], Any]:
        """Final norm and LM head on the last token of every request of an iteration."""
        sampled = self._random(iteration.prefill_reqs + iteration.decode_batch, self._shape.hidden_size)
        functional = self._torch.nn.functional

        def run() -> Any:
            return functional.linear(self._normed(sampled), self._head).argmax(dim=-1)

        return run

    def _random(self, *size: int) -> Any:
        return self._torch.randn(*size, device=self._device, dtype=self._dtype) * size[-1] ** -0.5

    def _caches(self, requests: int, tokens: int) -> list[Any]:
        """Keys and values of each layer, (2, requests, KV heads, tokens, head dim)."""
        size = (2, requests, self._shape.num_kv_heads, tokens, self._shape.head_dim)
        return [self._random(*size) for _ in range(self._num_layers)]

    def _normed(self, x: Any) -> Any:
        return self._torch.nn.functional.rms_norm(x, self._norm.shape, self._norm)

    def _layer(self, x: Any, weights: dict[str, Any], iteration: Iteration, prefill: Any, decode: Any) -> Any:
        functional, shape = self._torch.nn.functional, self._shape
        kv = shape.num_kv_heads * shape.head_dim
        projected = functional.linear(self._normed(x), weights["qkv"])
        q, k, v = projected.split([shape.num_heads * shape.head_dim, kv, kv], dim=-1)
        cut = iteration.prefill_tokens
        parts = []
        if cut:
            parts.append(self._attend(q[:cut], k[:cut], v[:cut], prefill, iteration.chunk))
        if iteration.decode_batch:
            parts.append(self._attend(q[cut:], k[cut:], v[cut:], decode, 1))
        attended = parts[0] if len(parts) == 1 else self._torch.cat(parts)
        x = x + functional.linear(attended, weights["out"])
        gate, up = functional.linear(self._normed(x), weights["up"]).chunk(2, dim=-1)
        return x + functional.linear(functional.silu(gate) * up, weights["down"])

    def _attend(self, q: Any, k: Any, v: Any, cache: Any, chunk: int) -> Any:
        """Attention of the last `chunk` tokens of each request to its cache, their keys and values written to it."""
        shape = self._shape
        requests, tokens = cache.shape[1], cache.shape[3]

        def heads(x: Any, number: int) -> Any:
            return x.reshape(requests, chunk, number, shape.head_dim).transpose(1, 2)

        cache[0, :, :, tokens - chunk :] = heads(k, shape.num_kv_heads)
        cache[1, :, :, tokens - chunk :] = heads(v, shape.num_kv_heads)
        mask = self._bias.causal_lower_right(chunk, tokens) if chunk > 1 else None
        grouped = shape.num_heads != shape.num_kv_heads
        attended = self._torch.nn.functional.scaled_dot_product_attention(
            heads(q, shape.num_heads), cache[0], cache[1], attn_mask=mask, enable_gqa=grouped
        )
        return attended.transpose(1, 2).reshape(requests * chunk, shape.num_heads * shape.head_dim)
