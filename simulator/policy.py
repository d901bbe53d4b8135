"""What a scheduling policy is asked and what it may answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.kv_cache import KVCache
from simulator.latency import Batch
from simulator.request import RequestState
from simulator.speculation import Speculation
from simulator.swap_space import SwapSpace

Preemption = Literal["recompute", "swap"]
"""recompute: the cache is dropped, and prompt and output are prefilled again. swap: it is moved to host memory."""


class Decode(Enum):
    """Which running requests decode, when not named one by one."""

    ALL = "all"


ALL: Final = Decode.ALL
NONE: Final[tuple[int, ...]] = ()
_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
_NO_DROPS: Final[Mapping[int, str]] = MappingProxyType({})
_NO_VICTIMS: Final[Mapping[int, Preemption]] = MappingProxyType({})


class StepPlan(NamedTuple):
    """What a policy wants of the next iteration.

    The engine checks it and applies it as it is, or raises `InvalidPlan`. Order: drop, preempt, resume, then
    run one batch of `prefill` and `decode`. A plan that does more than decode is for one iteration. One that only
    decodes is a promise: asked again before an event (an arrival, a completion, a KV shortage) or its own replan
    time, the policy would give the same plan, so the engine repeats it without asking.
    """

    prefill: Mapping[int, int] = _NOTHING
    """Tokens to prefill by request id: from waiting, or from running and not yet wholly prefilled."""
    decode: Decode | Collection[int] = ALL
    """The running requests that decode; one left out keeps its KV cache and pauses."""
    preempt: Mapping[int, Preemption] = _NO_VICTIMS
    """Running requests that lose their KV cache, by how; each goes to the front of the queue, the last foremost."""
    resume: Collection[int] = ()
    """Waiting requests that were swapped, to be brought back: they run again and may decode in this iteration."""
    speculate: Mapping[int, int] = _NOTHING
    """Tokens to draft by request id, of those that decode, in an iteration that prefills nothing.

    The target verifies depth + 1 tokens of each, whose blocks have to be free; it gets 1 + (accepted) tokens.
    """
    drop: Mapping[int, str] = _NO_DROPS
    """Requests, waiting or running, to abandon, by reason; they keep the tokens that they got."""
    replan_at: float | None = None
    """Ask again at the first boundary at or after this time, seconds; a plan that does nothing waits until then."""
    replan_after: int | None = None
    """Ask again after so many iterations."""


DECODE_ALL: Final = StepPlan()
"""Every request that has been prefilled decodes: the plan given most often, so it is made once."""


def changes_more_than_decodes(plan: StepPlan) -> bool:
    """Whether `plan` prefills, preempts, resumes, speculates or drops, and so is for one iteration."""
    return plan is not DECODE_ALL and bool(plan.prefill or plan.preempt or plan.resume or plan.speculate or plan.drop)


def same_plan(a: StepPlan, b: StepPlan) -> bool:
    """Whether two plans say the same, in whatever order they name who decodes."""
    return a == b or _with_set(a) == _with_set(b)


def _with_set(plan: StepPlan) -> StepPlan:
    return plan if plan.decode is ALL else plan._replace(decode=frozenset(plan.decode))


class EngineLimits(BaseModel):
    """What bounds a batch and the KV cache (defaults: vLLM's).

    The check of a plan enforces all but the watermark, which is a rule of admission and so the policies' to keep.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_num_seqs: int = Field(default=256, ge=1, description="requests running at once")
    max_num_batched_tokens: int = Field(
        default=8192, ge=1, description="tokens of an iteration; one prompt alone may exceed it"
    )
    block_size: int = Field(default=16, ge=1, description="tokens of a KV block")
    watermark: float = Field(default=0.01, ge=0, lt=1, description="share of the blocks kept free when admitting")
    swap_space_bytes: float = Field(default=4 * 2**30, ge=0, description="host memory for swapped caches, a GPU")
    max_model_len: int | None = Field(default=None, ge=1, description="longest prompt + output, tokens")
    speculation: Speculation = Field(default=Speculation(), description="the draft model, for plans that speculate")

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
    swap: host memory for swapped caches; it has no blocks if the hardware does not say how it is linked.
    predict_step_time: estimated duration of a batch, seconds; the true latency model unless a study replaces it.
    """

    now: float
    iteration: int
    waiting: Mapping[int, RequestState]
    running: Mapping[int, RequestState]
    prefilling: Mapping[int, RequestState]
    kv: KVCache
    swap: SwapSpace
    limits: EngineLimits
    predict_step_time: Callable[[Batch], float]

    @property
    def num_decodes(self) -> int:
        """Requests that decode if all that can do."""
        return len(self.running) - len(self.prefilling)

    def without(self, ids: Collection[int]) -> ReplicaView:
        """The replica as it is once these requests are dropped and their blocks free: a copy to plan with."""
        queues = (self.waiting, self.running, self.prefilling)
        waiting, running, prefilling = ({i: r for i, r in queue.items() if i not in ids} for queue in queues)
        kv = self.kv.without([self.running[i] for i in ids if i in self.running])
        return replace(self, waiting=waiting, running=running, prefilling=prefilling, kv=kv)


class PolicyEvent(NamedTuple):
    """What a policy is told between plans."""

    kind: Literal["arrival", "finish", "drop", "plan"]
    """arrival: `request` came in. finish: it is complete. drop: it was abandoned. plan: `plan` was given."""
    time: float
    request: RequestState | None = None
    plan: StepPlan | None = None
    iteration: int = 0
    """With a plan: the iterations done when it was given."""


def _private(name: str) -> property:
    """Reads a private attribute right where pydantic keeps it: pydantic itself takes 1 µs to look there."""

    def get(self: BaseModel) -> Any:
        try:
            return self.__pydantic_private__[name]  # type: ignore[index]
        except (KeyError, TypeError):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    return property(get)


class SchedulerPolicy(BaseModel, ABC):
    """Decides what every iteration runs. One object serves one replica for one run.

    Its parameters are the fields of the model, validated; what it remembers are private attributes. `plan`
    decides only: it changes neither the view nor the policy; what a policy remembers it learns in `on_event`.
    `name` is the name under which it is registered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name in cls.__private_attributes__:
            setattr(cls, name, _private(name))

    @property
    def spec(self) -> str:
        """Name and the parameters that are not at their defaults: "chunked_prefill:token_budget=512"."""
        changed = [f"{k}={v}" for k, v in self if v != type(self).model_fields[k].default]
        return ":".join([self.name or type(self).__name__, *changed])

    @abstractmethod
    def plan(self, view: ReplicaView) -> StepPlan:
        """What to run next. Called at an iteration boundary when at least one request is in the system."""

    def on_event(self, event: PolicyEvent) -> None:
        """Take note of what happened; called in order of time."""

    def counters(self) -> Mapping[str, float]:
        """What the policy counted, by name, for the counters of the log; asked once, after the run."""
        return {}


class OraclePolicy(SchedulerPolicy):
    """A policy that knows the output lengths: a reference, never a contender, and `name` says `oracle`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "oracle" not in cls.name:
            raise TypeError(f"{cls.__name__} sees output lengths, so its name must contain 'oracle', not {cls.name!r}")

    @abstractmethod
    def foresee(self, output_length: Sequence[int]) -> None:
        """Take the true output lengths by request id, tokens; called once before the run."""
