"""Engine presets: the schedulers that engines ship with, as our policies under those engines' default limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.chunked_prefill import ChunkedPrefill
from policies.fcfs import Fcfs
from policies.registry import UnknownPolicy, policy_class, policy_names
from simulator.policy import EngineLimits, SchedulerPolicy
from simulator.spec import from_spec
from simulator.unknown_name import unknown_name


class EnginePreset(BaseModel, ABC):
    """A policy together with the limits under which an engine runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]

    max_num_seqs: int = Field(default=256, ge=1, description="requests running at once")
    max_num_batched_tokens: int = Field(default=2048, ge=1, description="tokens of an iteration")
    block_size: int = Field(default=16, ge=1, description="tokens of a KV block")
    watermark: float = Field(default=0.01, ge=0, lt=1, description="share of the blocks kept free when admitting")

    @abstractmethod
    def policy(self) -> SchedulerPolicy:
        """A new policy for one run."""

    def limits(self, base: EngineLimits) -> EngineLimits:
        """`base` with what the preset says in place of it. Raises ValueError if they do not go together."""
        return EngineLimits.model_validate({**base.model_dump(), **self.model_dump()})


class VllmV0(EnginePreset):
    """vLLM's first engine: fcfs, prefills first and apart from decodes, at most 256 requests at once.

    Preempts the latest arrival, by recomputation. max_num_batched_tokens is the greater of 2048 and the model's
    context, here Llama 3's 8192. Not modelled: chunked prefill, which v0 turned on for contexts above 32k tokens;
    prefix caching, off by default; swapping, for beam search only; multi-step scheduling; its CPU time, which is
    the hardware profile's to add (+vllm-2024).

    Source: vLLM 0.6, vllm/core/scheduler.py and vllm/config.py.
    """

    name = "vllm_v0"

    max_num_batched_tokens: int = Field(default=8192, ge=1, description="tokens of an iteration; one prompt may exceed")

    def policy(self) -> SchedulerPolicy:
        """Fcfs."""
        return Fcfs()


class VllmV1(EnginePreset):
    """vLLM's engine of today: decodes and chunks of prompts share a token budget, at most 256 requests at once.

    Preempts the latest arrival, by recomputation, and keeps no watermark. The defaults are those of its API server
    on an A100 or on less than 70 GiB; on an H100 and larger it takes max_num_seqs=1024:max_num_batched_tokens=8192.
    Not modelled: prefix caching, on by default; asynchronous scheduling; that it admits a prompt if its first chunk
    has blocks, where here the whole prompt must; running requests, decoding or not, take from the budget in
    order of admission, where here decodes come first; padding to CUDA graph sizes.

    Source: vLLM 0.11, vllm/v1/core/sched/scheduler.py and vllm/engine/arg_utils.py (get_batch_defaults).
    """

    name = "vllm_v1"

    watermark: float = Field(default=0.0, ge=0, lt=1, description="share of the blocks kept free when admitting")

    def policy(self) -> SchedulerPolicy:
        """Chunked prefill with the whole of max_num_batched_tokens as its budget."""
        return ChunkedPrefill(token_budget=self.max_num_batched_tokens)


class Sarathi(EnginePreset):
    """Sarathi-Serve's own engine: chunks of 512 tokens, decodes included, at most 128 requests at once.

    Preempts the latest arrival, by recomputation. Not modelled: pipeline parallelism, for which the paper's engine
    was made and which is its default (2 stages); dynamic chunk sizes, off by default.

    Source: arXiv 2403.02310, §5; microsoft/sarathi-serve, sarathi/config/config.py.
    """

    name = "sarathi"

    max_num_seqs: int = Field(default=128, ge=1, description="requests running at once")
    max_num_batched_tokens: int = Field(default=512, ge=1, description="tokens of an iteration (its chunk_size)")

    def policy(self) -> SchedulerPolicy:
        """Chunked prefill with the chunk size as its budget."""
        return ChunkedPrefill(token_budget=self.max_num_batched_tokens)


PRESETS: Mapping[str, type[EnginePreset]] = {preset.name: preset for preset in (VllmV0, VllmV1, Sarathi)}
"""Every preset, by name."""


def policy_or_preset(name: str) -> type[SchedulerPolicy] | type[EnginePreset]:
    """What goes by `name`. Raises `UnknownPolicy` with near matches among both."""
    if name in PRESETS:
        return PRESETS[name]
    names = policy_names()
    if name not in names:
        raise UnknownPolicy(unknown_name("policy", name, [*names, *PRESETS]))
    return policy_class(name)


def make_served(spec: str, limits: EngineLimits) -> tuple[SchedulerPolicy, EngineLimits]:
    """A new policy, and the limits that it runs under: `limits`, or those of the preset that `spec` names.

    spec: as for `make_policy`, such as "fcfs" or "vllm_v1:max_num_seqs=64". Raises ValueError like it.
    """
    made: SchedulerPolicy | EnginePreset = from_spec("policy", spec, policy_or_preset)
    if isinstance(made, EnginePreset):
        try:
            return made.policy(), made.limits(limits)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"policy {spec!r}: {problem}") from error
    return made, limits
