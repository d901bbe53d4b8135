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
    layers. On a GPU, elementwise work that lies together is one kernel, as engines have it (torch.compile);
    rotary embeddings are left out.
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
        self._added_and_normed, self._gated = self._add_and_norm, self._gate
        if device.startswith("cuda"):
            self._added_and_normed = torch.compile(self._add_and_norm, dynamic=True)
            self._gated = torch.compile(self._gate, dynamic=True)

    def layers(self, iteration: Iteration, in_two: bool = False) -> Callable[[], Any]:
        """The layers on one iteration: a function of no arguments, its inputs and caches allocated.

        in_two: chunks attend to what is before them and to themselves in two calls, whose results are added. The
        mask that does both in one has slow kernels for long chunks in PyTorch, the two calls for short ones. Weighting
        the two results by their sums of exponentials is left out.
        """
        residual, hidden = (self._random(iteration.num_tokens, self._shape.hidden_size) for _ in range(2))
        prefill = self._caches(iteration.prefill_reqs, iteration.context + iteration.chunk)
        decode = self._caches(iteration.decode_batch, iteration.decode_context)

        def run() -> Any:
            state = residual, hidden
            for i, weights in enumerate(self._weights):
                state = self._layer(*state, weights, iteration, prefill[i], decode[i], in_two)
            return state

        return run

    def head(self, iteration: Iteration) -> Callable[[], Any]:
        """Final norm and LM head on the last token of every request of an iteration."""
        requests = iteration.prefill_reqs + iteration.decode_batch
        residual, hidden = (self._random(requests, self._shape.hidden_size) for _ in range(2))

        def run() -> Any:
            _, normed = self._added_and_normed(residual, hidden)
            return self._torch.nn.functional.linear(normed, self._head).argmax(dim=-1)

        return run

    def _random(self, *size: int) -> Any:
        return self._torch.randn(*size, device=self._device, dtype=self._dtype) * size[-1] ** -0.5

    def _caches(self, requests: int, tokens: int) -> list[Any]:
        """Keys and values of each layer, (2, requests, KV heads, tokens, head dim)."""
        size = (2, requests, self._shape.num_kv_heads, tokens, self._shape.head_dim)
        return [self._random(*size) for _ in range(self._num_layers)]

    def _add_and_norm(self, residual: Any, hidden: Any) -> tuple[Any, Any]:
        total = residual + hidden
        return total, self._torch.nn.functional.rms_norm(total, self._norm.shape, self._norm)

    def _gate(self, gate_and_up: Any) -> Any:
        gate, up = gate_and_up.chunk(2, dim=-1)
        return self._torch.nn.functional.silu(gate) * up

    def _layer(
        self,
        residual: Any,
        hidden: Any,
        weights: dict[str, Any],
        iteration: Iteration,
        prefill: Any,
        decode: Any,
        in_two: bool,
    ) -> tuple[Any, Any]:
        """What is added up so far, and what this layer adds to it, both (tokens, hidden size)."""
        linear, shape = self._torch.nn.functional.linear, self._shape
        residual, normed = self._added_and_normed(residual, hidden)
        q, kv = linear(normed, weights["qkv"]).split(
            [shape.num_heads * shape.head_dim, 2 * shape.num_kv_heads * shape.head_dim], dim=-1
        )
        cut = iteration.prefill_tokens
        parts = []
        if cut:
            parts.append(self._attend(q[:cut], kv[:cut], prefill, iteration.chunk, in_two))
        if iteration.decode_batch:
            parts.append(self._attend(q[cut:], kv[cut:], decode, 1, in_two))
        attended = parts[0] if len(parts) == 1 else self._torch.cat(parts)
        residual, normed = self._added_and_normed(residual, linear(attended, weights["out"]))
        return residual, linear(self._gated(linear(normed, weights["up"])), weights["down"])

    def _attend(self, q: Any, kv: Any, cache: Any, chunk: int, in_two: bool) -> Any:
        """Attention of the last `chunk` tokens of each request to its cache, their keys and values written to it."""
        shape = self._shape
        requests, tokens = cache.shape[1], cache.shape[3]
        context = tokens - chunk
        new = kv.reshape(requests, chunk, 2, shape.num_kv_heads, shape.head_dim)
        cache[:, :, :, context:] = new.permute(2, 0, 3, 1, 4)
        queries = q.reshape(requests, chunk, shape.num_heads, shape.head_dim).transpose(1, 2)
        if chunk == 1:
            attended = self._attention(queries, cache, None)
        elif in_two:
            own = self._attention(queries, cache[:, :, :, context:], self._bias.causal_lower_right(chunk, chunk))
            attended = own + self._attention(queries, cache[:, :, :, :context], None)
        else:
            attended = self._attention(queries, cache, self._bias.causal_lower_right(chunk, tokens))
        return attended.transpose(1, 2).reshape(requests * chunk, shape.num_heads * shape.head_dim)

    def _attention(self, queries: Any, cache: Any, mask: Any) -> Any:
        """Queries (requests, heads, tokens, head dim) attend to keys and values (2, requests, KV heads, …)."""
        grouped = self._shape.num_heads != self._shape.num_kv_heads
        attention = self._torch.nn.functional.scaled_dot_product_attention
        return attention(queries, *cache, attn_mask=mask, enable_gqa=grouped)
