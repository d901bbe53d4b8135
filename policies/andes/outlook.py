"""What QoE each reader would have after a horizon, if the server served or let wait."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Readers(NamedTuple):
    """Where the reader of each request stands now. All arrays are (n,).

    due: seconds since the first token was expected, negative before. speed: tokens/s taken in. tokens: generated.
    delay: how far behind the expected time the newest token is read, seconds. early_tokens, early_delay: tokens
    that came before the delay grew to that, and the sum of their delays.
    """

    due: Floats
    speed: Floats
    tokens: Floats
    delay: Floats
    early_tokens: Floats
    early_delay: Floats


class Outlook:
    """QoE of `readers` after `horizon` seconds, as a function of what the server does until then.

    QoE at a time is the area under the digested curve over that under the expected one, both up to then (v1);
    1 while nothing is expected. Both are straight lines of slope `speed` where nobody waits, and a served
    request gets tokens evenly. Source: Andes; the areas agree with `simulator.metrics.andes_qoe`'s v1.
    Open in the paper, so ours: the expected curve goes on beyond the answer, whose length nobody knows.
    """

    def __init__(self, readers: Readers, horizon: float) -> None:
        self._horizon = horizon
        self._speed = speed = readers.speed
        self._tokens = tokens = readers.tokens
        due = readers.due
        position = speed * (due - readers.delay)
        self._position = np.minimum(position, tokens)  # where the reader is; negative before reading begins
        read = np.maximum(self._position, 0.0)
        delayed = readers.early_delay + (read - readers.early_tokens) * readers.delay
        self._area = np.where(read > 0, due * read - read**2 / (2.0 * speed) - delayed, 0.0)
        self._due = due
        self._expected = speed * np.maximum(due + horizon, 0.0) ** 2 / 2.0

    def now(self) -> Floats:
        """QoE at present, (n,)."""
        return _share(self._area, self._speed * np.maximum(self._due, 0.0) ** 2 / 2.0)

    def if_left_waiting(self) -> Floats:
        """QoE after the horizon if no token comes, (n,)."""
        return _share(self._area + self._ahead(self._position, 0.0, self._horizon), self._expected)

    def if_served(self, rate: float, after: float = 0.0) -> Floats:
        """QoE after the horizon if `rate` tokens/s come to each, after a stall of `after` seconds, (n,)."""
        if after <= 0.0:
            return _share(self._area + self._ahead(self._position, rate, self._horizon), self._expected)
        stall = min(after, self._horizon)
        waited = self._ahead(self._position, 0.0, stall)
        position = np.minimum(self._position + self._speed * stall, self._tokens)
        served = self._ahead(position, rate, self._horizon - stall)
        return _share(self._area + waited + served, self._expected)

    def _ahead(self, position: Floats, rate: float, span: float) -> Floats:
        """∫ of the tokens read over the next `span` seconds, read(t) = min(position + speed·t, tokens + rate·t)⁺."""
        speed, tokens = self._speed, self._tokens
        slack = speed - rate
        if rate > 0.0 and not (slack > 0.0).any():
            smooth: Floats | float = span
        else:
            runs_dry = (tokens - position) / np.where(slack > 0.0, slack, 1.0)
            smooth = np.where(slack > 0.0, np.minimum(runs_dry, span), span)
        until = np.maximum(position + speed * smooth, 0.0)
        area: Floats = (until**2 - np.maximum(position, 0.0) ** 2) / (2.0 * speed)
        if smooth is not span:
            area += (span - smooth) * (tokens + rate * (span + smooth) / 2.0)
        return area


def _share(area: Floats, expected: Floats) -> Floats:
    share = np.ones(len(area))
    np.divide(area, expected, out=share, where=expected > 0.0)
    return np.clip(share, 0.0, 1.0, out=share)
