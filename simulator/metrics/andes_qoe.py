"""Andes' quality of experience: how far a reader fell behind what was expected (arXiv 2404.16283).

A reader expects token i at ideal_i = TTFT* + (i − 1)/speed after submission, and reads it at digested_i: not
before it is there, not before it was expected, and 1/speed after the token before it. So digested_i − ideal_i
is max(0, h_i − TTFT*), h being `deadlines.stall_free_start`, and every area below is a sum of those.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.metrics import ragged
from simulator.metrics.ragged import Bools, Ragged
from simulator.token_log import Floats, Ints, Status

Version = Literal["v2", "v1", "v1_steps"]
GOOD, PERFECT = 0.95, 0.99
"""QoE from which an answer counts as good (ours) and as perfect (Andes)."""
Seconds = Annotated[float, Field(ge=0)]


def to_tuple(value: Any) -> Any:
    """A 1-d array as a tuple, which a frozen model can hold; anything else as it is."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) and value.ndim == 1 else value


class QoE(BaseModel):
    """What a user expected of an answer, and how what came is judged against it.

    version: v2 sums delays per token; v1 compares the areas under the digested and the expected curve, both
    lines of slope ≤ speed, up to when the last token has been digested; v1_steps takes both curves as steps,
    which is v2 seen as areas. Ours, as Andes never drops: a dropped request scores 0, or, with
    `area_until_drop`, by v1's areas up to the drop; a failed one 0; an unfinished one by areas up to the
    log's end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Version = "v2"
    ttft: Annotated[Seconds | tuple[Seconds, ...] | None, BeforeValidator(to_tuple)] = Field(
        default=None, description="s: TTFT*, common or one per request; not given: 1 (v1), max(1, prompt // 5000) (v2)"
    )
    penalty: float = Field(default=1.0, ge=0, le=1, description="v1: QoE is multiplied by penalty^(TTFT − TTFT*)")
    dropped: Literal["zero", "area_until_drop"] = "zero"

    @model_validator(mode="after")
    def _only_v1_has_a_penalty(self) -> Self:
        if self.version == "v2" and self.penalty != 1.0:
            raise ValueError(f"the penalty is v1's: version is v2, penalty is {self.penalty}")
        return self

    def expected_ttft(self, prompt_length: Ints) -> Floats:
        """TTFT* of each request, seconds, (n,). Raises ValueError if there is not one for each."""
        if self.ttft is None:
            v2 = np.maximum(1.0, (prompt_length // 5000).astype(np.float64))
            return v2 if self.version == "v2" else np.ones(len(prompt_length))
        if isinstance(self.ttft, tuple) and len(self.ttft) != len(prompt_length):
            raise ValueError(f"the user has {len(self.ttft)} expected TTFTs, the log {len(prompt_length)} requests")
        return np.full(len(prompt_length), self.ttft)


class Expectation(NamedTuple):
    """What the reader of each request expects: the first token after `ttft` seconds, then `speed` tokens/s, (n,)."""

    ttft: Floats
    speed: Floats

    def of(self, which: Bools | slice) -> Expectation:
        """The expectations of some requests."""
        return Expectation(self.ttft[which], self.speed[which])


class Outcome(NamedTuple):
    """How each request ended, (n,): its status, when (seconds after submission), and the tokens it was to have."""

    status: Ints
    end: Floats
    output_length: Ints

    def of(self, which: Bools | slice) -> Outcome:
        """How some requests ended."""
        return Outcome(self.status[which], self.end[which], self.output_length[which])


def qoe(model: QoE, start: Ragged, expected: Expectation, outcome: Outcome) -> Floats:
    """QoE of each request, in [0, 1], (n,); NaN for one that finished without a token.

    start: of `deadlines.stall_free_start` at the expected speed.
    """
    score = qoe_of_answer(start, expected, model.version)
    by_area = outcome.status == Status.UNFINISHED
    if model.dropped == "area_until_drop":
        by_area |= outcome.status == Status.DROPPED
    if by_area.any():
        asked = np.maximum(outcome.output_length, np.diff(start.offsets))[by_area]
        some = ragged.rows(*start, by_area)
        score[by_area] = qoe_until(some, expected.of(by_area), outcome.end[by_area], asked, model.version)
    score[((outcome.status == Status.DROPPED) & ~by_area) | (outcome.status == Status.FAILED)] = 0.0
    return score if model.penalty == 1.0 else score * _ttft_factor(model.penalty, start, expected)


def qoe_of_answer(start: Ragged, expected: Expectation, version: Version) -> Floats:
    """1 − S_delay/S_whole of each request as if its tokens were its whole answer, (n,); NaN without a token.

    S_delay = Σ (digested_i − ideal_i). v2: S_whole = Σ (digested_n − ideal_i). v1: the area under the expected
    line up to digested_n + 1/speed, when the last token has been taken in. One token makes v2's S_delay and
    S_whole equal however late it is; it scores 1 − min(1, delay/TTFT*), which is ours.
    """
    counts = np.diff(start.offsets).astype(np.float64)
    delay = _delays(start, expected.ttft)
    total = ragged.reduce(np.add, delay, start.offsets, empty=np.nan)
    last = ragged.last(delay, start.offsets)
    pairs = counts * (counts if version == "v1" else counts - 1.0)
    whole = counts * last + pairs / (2.0 * expected.speed)
    if version != "v1":
        whole = np.where(counts == 1.0, np.maximum(expected.ttft, last), whole)
    return 1.0 - _ratio(total, whole, if_none=0.0)


def qoe_until(start: Ragged, expected: Expectation, end: Floats, num_asked: Ints, version: Version) -> Floats:
    """Area under the digested curve over that under the expected one, both up to `end`, (n,); 1 if the latter is 0.

    end: seconds after submission. num_asked: tokens of the whole answer. v1: curves are lines, else steps.
    """
    counts = np.diff(start.offsets)
    since = end - expected.ttft
    index = ragged.positions(start.offsets) - 1
    period = np.repeat(1.0 / expected.speed, counts)
    left = np.repeat(since, counts) - index * period - _delays(start, expected.ttft)
    np.maximum(left, 0.0, out=left)
    if version == "v1":
        left = np.where(left < period, left**2 / (2.0 * period), left - period / 2.0)
    digested = ragged.reduce(np.add, left, start.offsets, empty=0.0)
    due = np.maximum(since, 0.0) * expected.speed
    if version == "v1":
        due = np.minimum(due, num_asked)
        wanted = due * (since - due / (2.0 * expected.speed))
    else:
        due = np.where(since < 0.0, 0.0, np.minimum(np.floor(due) + 1.0, num_asked))
        wanted = due * (since - (due - 1.0) / (2.0 * expected.speed))
    return np.minimum(_ratio(digested, wanted, if_none=1.0), 1.0)


def _delays(start: Ragged, ttft: Floats) -> Floats:
    """digested_i − ideal_i of every token, seconds."""
    delay = start.values - np.repeat(ttft, np.diff(start.offsets))
    return np.maximum(delay, 0.0, out=delay)


def _ttft_factor(penalty: float, start: Ragged, expected: Expectation) -> Floats:
    """penalty^max(0, TTFT − TTFT*), (n,); 1 without a token. The clamp is ours: an early token earns no bonus."""
    factor: Floats = np.power(penalty, np.fmax(ragged.first(*start) - expected.ttft, 0.0))
    return factor


def _ratio(part: Floats, whole: Floats, if_none: float) -> Floats:
    ratio = np.full(len(whole), if_none)
    np.divide(part, whole, out=ratio, where=whole != 0.0)
    return ratio
