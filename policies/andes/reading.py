"""Where every reader stands, followed through the events of a replica."""

from __future__ import annotations

from math import isnan
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from policies.andes.outlook import Readers
from simulator.policy import ReplicaView, StepPlan
from simulator.request import RequestState

_TOKENS_PER_SECOND_OF_TTFT = 5000
_COLUMNS = ("expected_at", "speed", "prompt", "tokens", "delay", "early_tokens", "early_delay")
_EXPECTED_AT, _SPEED, _PROMPT, _TOKENS, _DELAY, _EARLY_TOKENS, _EARLY_DELAY = range(len(_COLUMNS))
_num_generated_tokens = attrgetter("num_generated_tokens")


class Expectation(NamedTuple):
    """What readers of whom nobody said expect: `speed` tokens/s, the first token after `ttft` seconds.

    ttft None: max(1, prompt tokens // 5000) seconds (Andes v2's).
    """

    speed: float
    ttft: float | None

    def ttft_of(self, request: RequestState) -> float:
        """When the reader of `request` expects the first token, seconds after arrival."""
        if not isnan(request.expected_ttft):
            return request.expected_ttft
        if self.ttft is not None:
            return self.ttft
        return float(max(1, request.prompt_length // _TOKENS_PER_SECOND_OF_TTFT))

    def speed_of(self, request: RequestState) -> float:
        """How fast the reader of `request` takes tokens in, tokens/s."""
        return self.speed if isnan(request.speed) else request.speed


class Reading:
    """Remembers how late the readers of a replica's requests are; one column a request, by id.

    How late the newest token is read grows when a token comes late: the first one, or the first after a preemption.
    So it is looked at after each prefill and each return. A server slower than the reader is seen from the newest
    token alone, whose delay is taken for that of all tokens since the last preemption (ours: nothing is kept a
    token).
    """

    __slots__ = ("_columns", "_expects", "_requests", "_returning")

    def __init__(self, expects: Expectation) -> None:
        self._expects = expects
        self._columns: npt.NDArray[np.float64] = np.zeros((len(_COLUMNS), 16))
        self._requests: dict[int, RequestState] = {}
        self._returning: list[int] = []

    def arrive(self, request: RequestState) -> None:
        """`request` is there."""
        while request.id >= self._columns.shape[1]:
            self._columns = np.concatenate((self._columns, np.zeros_like(self._columns)), axis=1)
        expected_at = request.arrival + self._expects.ttft_of(request)
        speed = self._expects.speed_of(request)
        self._columns[:, request.id] = (expected_at, speed, request.prompt_length, 0.0, 0.0, 0.0, 0.0)
        self._requests[request.id] = request

    def leave(self, request: RequestState) -> None:
        """`request` is not there any more."""
        del self._requests[request.id]

    def follow(self, plan: StepPlan) -> None:
        """`plan` is about to be applied; the one before it is over."""
        if self._returning:
            self._returning = [i for i in self._returning if i in self._requests and not self._is_back(i)]
        for request_id in plan.preempt:
            self._interrupt(request_id)
        self._returning += [*plan.prefill, *plan.resume]

    def _is_back(self, request_id: int) -> bool:
        """Note the delay of the first token of all or after a preemption; False if it has not come yet."""
        column, request = self._columns[:, request_id], self._requests[request_id]
        if request.num_generated_tokens == column[_EARLY_TOKENS]:
            return False
        column[_DELAY] = max(column[_DELAY], self._lateness(request))
        return True

    def _interrupt(self, request_id: int) -> None:
        """The tokens so far are the early ones of those to come."""
        column, request = self._columns[:, request_id], self._requests[request_id]
        tokens = request.num_generated_tokens
        if tokens:
            column[_DELAY] = max(column[_DELAY], self._lateness(request))
        column[_EARLY_DELAY] += (tokens - column[_EARLY_TOKENS]) * column[_DELAY]
        column[_EARLY_TOKENS] = column[_TOKENS] = tokens

    def _lateness(self, request: RequestState) -> float:
        """By how much the newest token came after it was expected, seconds."""
        column = self._columns[:, request.id]
        expected = column[_EXPECTED_AT] + (request.num_generated_tokens - 1) / column[_SPEED]
        return float(request.last_token_time - expected)

    def standing(self, view: ReplicaView) -> tuple[npt.NDArray[np.int64], Readers, npt.NDArray[np.float64]]:
        """Ids of all in the system, running ones first, where their readers stand, and their known tokens, (n,)."""
        num_running = len(view.running)
        ids = np.fromiter((*view.running, *view.waiting), np.int64, num_running + len(view.waiting))
        expected_at, speed, prompt, tokens, delay, early_tokens, early_delay = self._columns[:, ids]
        generated = map(_num_generated_tokens, view.running.values())
        tokens[:num_running] = np.fromiter(generated, np.float64, num_running)
        due = view.now - expected_at
        newest = np.where(tokens > 0.0, due - (tokens - 1.0) / speed, 0.0)
        np.maximum(delay, newest, out=delay, where=np.arange(len(ids)) < num_running)
        return ids, Readers(due, speed, tokens, delay, early_tokens, early_delay), prompt + tokens
