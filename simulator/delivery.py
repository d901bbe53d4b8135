"""When generated tokens are delivered to their users: at once, held back, or evenly paced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from simulator.spec import from_spec
from simulator.token_log import Floats, TokenLog, TokenTimes
from simulator.unknown_name import unknown_name

_USUAL_SPEED = 5.0
"""tokens/s: the smooth-goodput paper's reader (arXiv 2410.14257, v2)."""


class Delivery(BaseModel, ABC):
    """A rule by which delivered times follow from generated ones, whatever the scheduler did.

    No token is delivered before it is generated, the first one at once, and the order is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]

    @abstractmethod
    def delivered(self, generated: TokenTimes, reading_speed: Floats) -> TokenTimes:
        """When each token reaches its user, seconds; ragged as `generated` is. reading_speed: (n,) tokens/s."""


class Immediate(Delivery):
    """Every token is delivered as it is generated."""

    name = "immediate"

    def delivered(self, generated: TokenTimes, reading_speed: Floats) -> TokenTimes:
        """The generated times."""
        return generated


class HoldTokens(Delivery):
    """Every token is held until `gap` after the one before it, if it is there by then: it smooths the tail TBT.

    What is held makes up for a later stall, so the metrics of gaps improve while no token comes earlier. With the
    TBT bound itself as the gap, held tokens meet it, since equality meets a bound.

    Source: the first anomaly of arXiv 2410.14257. Deviation: at the bound, where the paper says just under it.
    """

    name = "hold_tokens"

    gap: float = Field(default=0.1, gt=0, description="s: from one token to the next")

    def delivered(self, generated: TokenTimes, reading_speed: Floats) -> TokenTimes:
        """u_1 = t_1, u_i = max(t_i, u_(i−1) + gap)."""
        return at_least_apart(generated, self.gap)


class Pace(Delivery):
    """Tokens are released evenly at the rate at which the user reads, and never before they are there.

    Source: the client-side buffer of Andes (arXiv 2404.16283), on the server's side.
    """

    name = "pace"

    speed: float | None = Field(default=None, gt=0, description="tokens/s; each reader's own if not given")

    def delivered(self, generated: TokenTimes, reading_speed: Floats) -> TokenTimes:
        """u_1 = t_1, u_i = max(t_i, u_(i−1) + 1/speed); a reader of whom nobody said takes in 5 tokens/s."""
        if self.speed is not None:
            return at_least_apart(generated, 1.0 / self.speed)
        return at_least_apart(generated, 1.0 / np.where(np.isnan(reading_speed), _USUAL_SPEED, reading_speed))


class HoldLast(Delivery):
    """The last token of every answer is withheld, which nobody would want: it raises Andes' QoE.

    QoE divides by the time until the last token was read, so a late answer whose end is held back scores better.
    A token that is the only one is the first one too, and is not held.
    """

    name = "hold_last"

    wait: float = Field(default=600.0, gt=0, description="s: how long the last token is held")

    def delivered(self, generated: TokenTimes, reading_speed: Floats) -> TokenTimes:
        """u_i = t_i for i < n, u_n = t_n + wait."""
        times, counts = generated.times.copy(), np.diff(generated.offsets)
        times[generated.offsets[1:][counts > 1] - 1] += self.wait
        return TokenTimes(times, generated.offsets)


DELIVERIES: Mapping[str, type[Delivery]] = {kind.name: kind for kind in (Immediate, HoldTokens, Pace, HoldLast)}
"""Every delivery, by name."""


def make_delivery(spec: str) -> Delivery:
    """A delivery from "name" or "name:parameter=value", for instance "hold_tokens:gap=0.1".

    Raises ValueError for an unknown name, or naming the parameter and the value that it does not take.
    """
    return from_spec("delivery", spec, _delivery_class)


def _delivery_class(name: str) -> type[Delivery]:
    if name not in DELIVERIES:
        raise ValueError(unknown_name("delivery", name, DELIVERIES))
    return DELIVERIES[name]


def deliver(log: TokenLog, delivery: Delivery | str, reading_speed: Floats | None = None) -> TokenLog:
    """`log` with its tokens delivered by `delivery`, which `meta` records; generated times are kept beside.

    Ends of requests stay those of the server: the last tokens may reach the user after that, and those of a
    dropped request do. reading_speed: (n,) tokens/s of the requests' readers, NaN where nobody said. A delivery
    starts from the generated times, whatever the log's own delivered ones are.
    """
    delivery = make_delivery(delivery) if isinstance(delivery, str) else delivery
    meta = {**log.meta, "delivery": {"name": delivery.name, **delivery.model_dump()}}
    if isinstance(delivery, Immediate):
        return replace(log, delivered=None, meta=meta)
    if reading_speed is None:
        reading_speed = np.full(log.num_requests, np.nan)
    return replace(log, delivered=delivery.delivered(log.generated_times(), reading_speed), meta=meta)


def at_least_apart(tokens: TokenTimes, gap: float | Floats) -> TokenTimes:
    """u_1 = t_1, u_i = max(t_i, u_(i−1) + gap) for the tokens of each request, by exactly these operations.

    gap: seconds, one for all or (n,).

    One token of every request at a time, so that the sums are those of the definition to the last bit.
    """
    times, starts, counts = tokens.times.copy(), tokens.offsets[:-1], np.diff(tokens.offsets)
    longest_first = np.argsort(-counts, kind="stable")
    starts, counts = starts[longest_first], counts[longest_first]
    gaps = np.broadcast_to(gap, counts.shape)[longest_first]
    num_left = len(counts) - np.searchsorted(counts[::-1], np.arange(1, counts.max(initial=0) + 1))
    before: Floats = times[starts[: num_left[0]]] if len(num_left) else np.empty(0)
    for i, left in enumerate(num_left[1:].tolist(), start=1):
        at = starts[:left] + i
        before = np.maximum(times[at], before[:left] + gaps[:left])
        times[at] = before
    return TokenTimes(times, tokens.offsets)
