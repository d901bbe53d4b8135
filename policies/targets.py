"""What the user of a request counts on, in the terms of policies that need a number for everyone."""

from __future__ import annotations

from simulator.request import RequestState


def ttft_target(request: RequestState, default: float) -> float:
    """Seconds to the first token: the SLO's bound, else the expectation, else `default`."""
    slo = request.slo
    if slo is not None and slo.ttft is not None:
        return slo.ttft
    return request.expected_ttft if request.expected_ttft == request.expected_ttft else default


def tpot_target(request: RequestState, default: float) -> float:
    """Seconds a token: the SLO's tpot, else its tbt, else one over the user's or the SLO's speed, else `default`."""
    slo = request.slo
    if slo is not None:
        bound = slo.tpot
        if bound is None:
            bound = slo.tbt
        if bound is not None:
            return bound
    speed = reading_speed(request, 0.0)
    return 1.0 / speed if speed else default


def reading_speed(request: RequestState, default: float) -> float:
    """Tokens/s that the user takes in: the user's own, else that of the SLO, else `default`."""
    if request.speed == request.speed:
        return request.speed
    slo = request.slo
    return default if slo is None or slo.speed is None else slo.speed


def expected_output_length(request: RequestState, mean: float) -> float:
    """Tokens: the prediction, else `mean`; at least one more than there are."""
    predicted = request.predicted_output_length
    expected = predicted if predicted == predicted else mean
    least = request.num_generated_tokens + 1.0
    return expected if expected >= least else least


class MeanLength:
    """Running mean of the output lengths of the finished requests; `prior` before the first."""

    __slots__ = ("_num", "_prior", "_total")

    def __init__(self, prior: float) -> None:
        self._prior, self._num, self._total = prior, 0, 0

    def add(self, request: RequestState) -> None:
        """`request` has finished."""
        self._num += 1
        self._total += request.num_generated_tokens

    @property
    def value(self) -> float:
        """Tokens."""
        return self._total / self._num if self._num else self._prior
