"""A request: the whole truth about it, and the part of it that a scheduler may see."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.metrics.slo import SLO


@dataclass(frozen=True, slots=True)
class Request:
    """One row of a workload, true output length included. Times in seconds, lengths in tokens.

    slo, expected_ttft, speed: as in `RequestState`. patience: how long the user waits for a first token, seconds.
    None: nobody said.
    """

    id: int
    arrival: float
    prompt_length: int
    output_length: int
    request_class: str = "default"
    client: int = -1
    slo: SLO | None = None
    expected_ttft: float | None = None
    speed: float | None = None
    patience: float | None = None


class DecodeClock:
    """Counts the decode steps of one replica, so that nobody has to count them per request.

    time: when the last of them ended, seconds.
    """

    __slots__ = ("step", "time")

    def __init__(self) -> None:
        self.step = 0
        self.time = nan


_STOPPED = DecodeClock()
"""That of requests which no replica has yet."""


class RequestState:
    """What a scheduler may see of a request in the system. Read only; the true output length is not in it.

    A decoding request is not touched at every token: it keeps the decode step at which it joined, and its
    counts are that far behind the replica's clock.

    slo: the promise made to its user, if any. expected_ttft, speed: what its user expects, seconds and tokens/s;
    predicted_output_length: somebody's guess, tokens; all three NaN where nobody said.
    first_token_time: seconds, NaN before it. swapped_tokens: how much of its cache lies in host memory.
    """

    __slots__ = (
        "_cached",
        "_clock",
        "_generated",
        "_head",
        "_head_tokens",
        "_joined",
        "_last_token_time",
        "arrival",
        "client",
        "expected_ttft",
        "first_token_time",
        "id",
        "num_preemptions",
        "predicted_output_length",
        "prompt_length",
        "request_class",
        "slo",
        "speed",
        "swapped_tokens",
    )

    def __init__(
        self,
        id: int,
        arrival: float,
        prompt_length: int,
        clock: DecodeClock = _STOPPED,
        request_class: str = "default",
        client: int = -1,
        slo: SLO | None = None,
        expected_ttft: float = nan,
        speed: float = nan,
        predicted_output_length: float = nan,
    ) -> None:
        self.id = id
        self.arrival = arrival
        self.prompt_length = prompt_length
        self.request_class = request_class
        self.client = client
        self.slo = slo
        self.expected_ttft = expected_ttft
        self.speed = speed
        self.predicted_output_length = predicted_output_length
        self.num_preemptions = 0
        self.swapped_tokens = 0
        self.first_token_time = nan
        self._last_token_time = nan
        self._clock = clock
        self._joined = -1
        self._head = nan
        self._head_tokens = 0
        self._cached = 0
        self._generated = 0

    @property
    def decoding(self) -> bool:
        """Whether the request gets a token from every decode step."""
        return self._joined >= 0

    @property
    def num_computed_tokens(self) -> int:
        """Tokens whose keys and values are in the cache."""
        return self._cached if self._joined < 0 else self._cached + self._clock.step - self._joined

    @property
    def num_generated_tokens(self) -> int:
        """Output tokens generated so far."""
        return self._generated if self._joined < 0 else self._generated + self._clock.step - self._joined

    @property
    def last_token_time(self) -> float:
        """When the newest output token was generated, seconds; NaN before the first."""
        if self._joined >= 0 and self._clock.step > self._joined:
            return self._clock.time
        return self._last_token_time

    @property
    def num_tokens(self) -> int:
        """Tokens known so far: prompt and generated. Prefill is over when all of them are computed."""
        return self.prompt_length + self.num_generated_tokens

    @property
    def num_tokens_to_prefill(self) -> int:
        """Known tokens not yet in the cache, for a request that is waiting or being prefilled."""
        return self.prompt_length + self._generated - self._cached

    def __repr__(self) -> str:
        return (
            f"RequestState(id={self.id}, arrival={self.arrival}, prompt_length={self.prompt_length}, "
            f"computed={self.num_computed_tokens}, generated={self.num_generated_tokens})"
        )
