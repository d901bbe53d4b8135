"""Replicas as a policy sees them, made by hand: who runs, who waits, how long an iteration takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simulator import EngineLimits, ReplicaView, RequestState
from simulator.kv_cache import KVCache
from simulator.latency import Batch
from simulator.request import DecodeClock
from simulator.swap_space import HostLink, SwapSpace


def second_a_token(batch: Batch) -> float:
    """1 s for every token that is prefilled or decoded."""
    return float(batch.prefill_tokens + batch.num_decodes)


def request(id: int, prompt: int, arrival: float = 0.0, **expectations: Any) -> RequestState:
    """A request that has only arrived."""
    return RequestState(id, arrival, prompt, **expectations)


def decoding(
    id: int, prompt: int, generated: int, first: float, arrival: float = 0.0, **expectations: Any
) -> RequestState:
    """A request that got its first token at `first` and has `generated` of them."""
    state = RequestState(id, arrival, prompt, **expectations)
    state._cached, state._generated = prompt + generated - 1, generated
    state.first_token_time = first
    return state


def view_of(
    running: Sequence[RequestState] = (),
    waiting: Sequence[RequestState] = (),
    *,
    now: float,
    iteration: int = 0,
    num_blocks: int = 1000,
    swap: SwapSpace | None = None,
    step_time: Callable[[Batch], float] = second_a_token,
    **limits: Any,
) -> ReplicaView:
    """A replica in which everybody who runs decodes; blocks of 16 tokens, no watermark."""
    clock = DecodeClock()
    kv = KVCache(num_blocks, 16, 0.0, clock)
    for state in running:
        state._clock, state._joined = clock, 0
        kv.join(state)
        kv.free -= kv.blocks_for(state._cached)
    return ReplicaView(
        now,
        iteration,
        {state.id: state for state in waiting},
        {state.id: state for state in running},
        {},
        kv,
        swap or SwapSpace(0.0, None, 16),
        EngineLimits(watermark=0.0, **limits),
        step_time,
    )


def host_memory(num_blocks: int, seconds_per_token: float) -> SwapSpace:
    """Swap space of so many blocks of 16 tokens."""
    return SwapSpace(16.0 * num_blocks, HostLink(kv_bytes_per_token=1.0, bytes_per_s=1.0 / seconds_per_token), 16)


def begin(view: ReplicaView, state: RequestState, cached: int) -> None:
    """Let `state` run in `view`, with so many tokens of its prompt in the cache."""
    state._cached = cached
    view.kv.free -= view.kv.blocks_for(cached)
    view.running[state.id] = view.prefilling[state.id] = state  # type: ignore[index]
