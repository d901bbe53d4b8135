"""An answer that fits in the head, twice: as it was served, and as it scores better by some metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from experiments.numbers import number
from simulator.delivery import deliver
from simulator.metrics import SLO, User
from simulator.metrics.deadlines import stall_free_start
from simulator.metrics.per_request import request_columns
from simulator.token_log import Floats, Status, TokenLog, TokenTimes


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Frozen):
    """The tokens of one request, submitted at 0; times in seconds."""

    title: str
    generated: tuple[float, ...]
    delivery: str = "immediate"
    dropped_at: float | None = Field(default=None, description="s: when the server gave it up")

    def log(self) -> TokenLog:
        """The log of this one request."""
        tokens = TokenTimes(np.array(self.generated, dtype=np.float64), np.array([0, len(self.generated)]))
        status = Status.FINISHED if self.dropped_at is None else Status.DROPPED
        end = max(self.generated, default=0.0) if self.dropped_at is None else self.dropped_at
        log = TokenLog(
            arrival=np.zeros(1),
            prompt_length=np.ones(1, dtype=np.int64),
            output_length=np.array([max(len(self.generated), 1)]),
            status=np.array([status], dtype=np.int64),
            end=np.array([end]),
            reason=("",),
            request_class=np.zeros(1, dtype=np.int64),
            class_names=("default",),
            client=np.array([-1]),
            window=1.0,
            measured=tokens,
        )
        return deliver(log, self.delivery)


class HandScore(_Frozen):
    """A metric of an answer: a column of `request_columns`, and what it is called."""

    column: str
    words: str
    unit: str = ""
    user: Mapping[str, Any] = Field(default_factory=dict, description="fields of the user that it changes")


class HandPair(_Frozen):
    """An answer as it was served, and the same one treated; their reader, and the metrics that judge both."""

    served: Answer
    treated: Answer
    user: User
    slo: SLO
    scores: tuple[HandScore, ...]
    shows: Literal["idle latency", "qoe"] = Field(default="idle latency", description="what is shaded")
    until: float = Field(gt=0, description="s: where the timelines end")


class Curves(NamedTuple):
    """When each token of an answer was generated, delivered, read and due, seconds, (n,)."""

    generated: Floats
    delivered: Floats
    read: Floats
    due: Floats


def curves(answer: Answer, user: User) -> Curves:
    """A reader takes in the first token when it is expected or when it is there, and the rest at their own speed."""
    log = answer.log()
    speed, delivered = user.speeds(1), log.token_times()
    position = np.arange(len(delivered.times))
    ready = np.maximum(stall_free_start(delivered, speed).values, user.qoe.expected_ttft(log.prompt_length))
    return Curves(log.generated_times().times, delivered.times, ready + position / speed, (position + 1) / speed)


def values(pair: HandPair, answer: Answer) -> list[float]:
    """The score of each kind of one answer, in the units of its columns; what is undefined is NaN."""
    log = answer.log()
    return [
        float(request_columns(log, pair.slo, pair.user.model_copy(update=dict(score.user)))[score.column][0])
        for score in pair.scores
    ]


def spell(score: HandScore, value: float) -> str:
    """The score for people."""
    if score.column == "slo_met":
        return "met" if value else "missed"
    return f"{number(value)} {score.unit}".strip()
