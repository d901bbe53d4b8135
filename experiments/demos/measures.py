"""What is measured of a pair of runs, how to call it, and which way is better."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from experiments.demos.pairs import Pair, Values
from simulator.metrics.user import Abandonment, User


class Measure(BaseModel):
    """A quantity of each run of a pair: a metric of the summary by its name, or a function of the pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="its name in tables, and that of the metric unless there is a function")
    words: str
    unit: str
    higher_is_better: bool = True
    scale: float = Field(default=1.0, description="from the measured unit to that in which people read it")
    of: Callable[[Pair], Values] | None = None

    def values(self, pair: Pair) -> Values:
        """Its value in the treated run and in the other, in the unit in which it is measured."""
        if self.of is not None:
            return self.of(pair)
        of_a, of_b = pair.summaries
        return of_a[self.name], of_b[self.name]


def _lower(name: str, words: str, unit: str = "s", scale: float = 1.0) -> Measure:
    return Measure(name=name, words=words, unit=unit, higher_is_better=False, scale=scale)


TAIL_TBT = _lower("tbt_p99", "P99 TBT", "ms", 1e3)
MEAN_TTFT = _lower("ttft_mean", "mean TTFT")
MEAN_E2E = _lower("e2e_mean", "mean E2E")
IDLE_LATENCY = _lower("idle_latency_mean", "mean user idle latency")
ATTAINMENT = Measure(name="slo_attainment", words="SLO attainment", unit="%", scale=100.0)
GOODPUT = Measure(name="goodput_requests_per_s_window", words="goodput", unit="requests/s")
SMOOTH_GOODPUT = Measure(name="smooth_goodput_tokens_per_s_window", words="smooth goodput", unit="tokens/s")
QOE = Measure(name="qoe_mean", words="mean QoE", unit="0 to 1")
GOOD_QOE = Measure(name="qoe_good", words="answers with QoE ≥ 0.95", unit="%", scale=100.0)

_READINGS: dict[Abandonment, str] = {
    "ignore": "as printed",
    "idle_until_drop": "wait until the drop",
    "patience": f"patience {User().patience:g} s",
}


def whole(reading: Abandonment) -> Measure:
    """Smooth goodput by a reading of what a dropped user waits."""

    def of(pair: Pair) -> Values:
        (gone_a, gone_b), (stay_a, stay_b) = _parts(pair, reading)
        return gone_a + stay_a, gone_b + stay_b

    return _smooth(f"smooth_goodput_{reading}", f"smooth goodput, {_READINGS[reading]}", of)


def of_the_dropped(reading: Abandonment) -> Measure:
    """The part of smooth goodput that comes from the users who are dropped in the treated run."""
    words = f"the dropped users' part, {_READINGS[reading]}"
    return _smooth(f"dropped_users_{reading}", words, lambda pair: _parts(pair, reading)[0])


def _parts(pair: Pair, reading: Abandonment) -> tuple[Values, Values]:
    gone, stay = pair.parts
    return (
        (gone[0].smooth_goodput(reading), gone[1].smooth_goodput(reading)),
        (stay[0].smooth_goodput(reading), stay[1].smooth_goodput(reading)),
    )


def _smooth(name: str, words: str, of: Callable[[Pair], Values]) -> Measure:
    return Measure(name=name, words=words, unit="tokens/s", of=of)


OF_THE_OTHERS = _smooth("other_users", "everybody else's part", lambda pair: _parts(pair, "patience")[1])
"""None of them is dropped in the treated run, so no reading changes it there."""
