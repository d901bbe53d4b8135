"""What a scheduling policy is asked and what it may answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import ClassVar, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.kv_cache import KVCache
from simulator.latency import Batch
from simulator.request import RequestState


class Decode(Enum):
    """Which running requests decode, when not named one by one."""

    ALL = "all"


ALL: Final = Decode.ALL
NONE: Final[tuple[int, ...]] = ()
_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
_NO_DROPS: Final[Mapping[int, str]] = MappingProxyType({})
_NO_VICTIMS: Final[Mapping[int, Literal["recompute"]]] = MappingProxyType({})


class StepPlan(NamedTuple):
    """What a policy wants of the next iteration.

    The engine checks it and applies it as it is, or raises `InvalidPlan`. Order: drop, preempt, then run one
    batch of `prefill` and `decode`. A plan that prefills, preempts or drops is for one iteration. One that only
    decodes is a promise: asked again before an event (an arrival, a completion, a KV shortage) or its own replan
    time, the policy would give the same plan, so the engine repeats it without asking.
    """

    prefill: Mapping[int, int] = _NOTHING
    """Tokens to prefill by request id: from waiting, or from running and not yet wholly prefilled."""
    decode: Decode | Collection[int] = ALL
    """The running requests that decode; one left out keeps its KV cache and pauses."""
    preempt: Mapping[int, Literal["recompute"]] = _NO_VICTIMS
    """Running requests that lose their KV cache and go back to the front of the queue in this order, by how."""
    drop: Mapping[int, str] = _NO_DROPS
    """Requests, waiting or running, to abandon, by reason; they keep the tokens that they got."""
    replan_at: float | None = None
    """Ask again at the first boundary at or after this time, seconds; with nothing to run, wait until then."""
    replan_after: int | None = None
    """Ask again after so many iterations."""


DECODE_ALL: Final = StepPlan()
"""Every request that has been prefilled decodes: the plan given most often, so it is made once."""


class EngineLimits(BaseModel):
    """What bounds a batch and the KV cache, whatever the policy (defaults: vLLM's)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_num_seqs: int = Field(default=256, ge=1, description="requests running at once")
    max_num_batched_tokens: int = Field(
        default=8192, ge=1, description="tokens of an iteration; one prompt alone may exceed it"
    )
    block_size: int = Field(default=16, ge=1, description="tokens of a KV block")
    watermark: float = Field(default=0.01, ge=0, lt=1, description="share of the blocks kept free when admitting")
    max_model_len: int | None = Field(default=None, ge=1, description="longest prompt + output, tokens")

    @model_validator(mode="after")
    def _every_seat_may_decode(self) -> Self:
        if self.max_num_seqs > self.max_num_batched_tokens:
            raise ValueError(
                f"max_num_seqs {self.max_num_seqs} is over max_num_batched_tokens {self.max_num_batched_tokens}: "
                "not all running requests could decode in one iteration"
            )
        return self


@dataclass(slots=True)
class ReplicaView:
    """What a policy may see of its replica at an iteration boundary. Read only.

    waiting: by id; preempted requests first, the last one preempted foremost, then by (arrival, id).
    iteration: iterations that the replica has done.
    running: by id, in the order of admission: prefilling, decoding and paused requests.
    prefilling: those of `running` whose prefill is not over, in the order of admission.
    predict_step_time: estimated duration of a batch, seconds; the true latency model unless a study replaces it.
    """

    now: float
    iteration: int
    waiting: Mapping[int, RequestState]
    running: Mapping[int, RequestState]
    prefilling: Mapping[int, RequestState]
    kv: KVCache
    limits: EngineLimits
    predict_step_time: Callable[[Batch], float]

    @property
    def num_decodes(self) -> int:
        """Requests that decode if all that can do."""
        return len(self.running) - len(self.prefilling)


class PolicyEvent(NamedTuple):
    """What a policy is told between plans."""

    kind: Literal["arrival", "finish", "drop", "plan"]
    """arrival: `request` came in. finish: it is complete. drop: it was abandoned. plan: `plan` was given."""
    time: float
    request: RequestState | None = None
    plan: StepPlan | None = None
    iteration: int = 0
    """With a plan: the iterations done when it was given."""


class SchedulerPolicy(BaseModel, ABC):
    """Decides what every iteration runs. One object serves one replica for one run.

    Its parameters are the fields of the model, validated; what it remembers are private attributes. `plan`
    decides only: it changes neither the view nor the policy; what a policy remembers it learns in `on_event`.
    `name` is the name under which it is registered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str] = ""

    @abstractmethod
    def plan(self, view: ReplicaView) -> StepPlan:
        """What to run next. Called at an iteration boundary when at least one request is in the system."""

    def on_event(self, event: PolicyEvent) -> None:
        """Take note of what happened; called in order of time."""
