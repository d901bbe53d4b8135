"""What is concluded from the base, and whether it is still concluded after a change."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from experiments.claims import Claim, compare_pairs
from experiments.paper.best import Metric
from experiments.paper.runs import Runs

FCFS, HELD, CHUNKED = "fcfs", "fcfs@hold_tokens:gap=0.1", "chunked_prefill:token_budget=512"
MIXED, SURGE = "mixed", "surge"
GOODPUT = Metric("goodput", "goodput_requests_per_s_window", "requests/s")
SMOOTH = Metric("smooth goodput", "smooth_goodput_tokens_per_s_window", "tokens/s")
QOE = Metric("QoE, mean", "qoe_mean", "")
TBT = Metric("TBT P99", "tbt_p99", "s", higher_is_better=False)
TPOT = Metric("TPOT, mean", "tpot_mean", "s", higher_is_better=False)
TTFT = Metric("TTFT, mean", "ttft_mean", "s", higher_is_better=False)
TTFT_P99 = Metric("TTFT P99", "ttft_p99", "s", higher_is_better=False)


class Verdict(StrEnum):
    """Whether runs allow a conclusion."""

    HOLDS = "holds"
    OPEN = "open"
    CONTRARY = "contrary"


class Conclusion(NamedTuple):
    """That policy `a` is better than `b` by a metric, or that it is not, in one study at one rate.

    better: a certain gain of more than 1 % is claimed; otherwise that there is none (`claims`).
    """

    words: str
    study: str
    rate: float
    a: str
    b: str
    metric: Metric
    better: bool = True

    def claim(self, runs: Mapping[str, Runs]) -> Claim:
        """What the runs of the studies, by name, say of the two policies."""
        a, b = (runs[self.study].samples(policy, self.rate, self.metric.key).tolist() for policy in (self.a, self.b))
        return compare_pairs(a, b, higher_is_better=self.metric.higher_is_better)

    def verdict(self, runs: Mapping[str, Runs]) -> Verdict:
        """Whether it holds; open where the runs cannot say, contrary where they say the opposite."""
        claim = self.claim(runs)
        gains, none = claim.improves and not claim.does_not_improve, claim.does_not_improve
        if not (gains or none):
            return Verdict.OPEN
        return Verdict.HOLDS if gains == self.better else Verdict.CONTRARY


GOODPUT_CHOICE = Conclusion("goodput chooses chunked prefill over fcfs", MIXED, 6, CHUNKED, FCFS, GOODPUT)
HONEST_CHOICE = Conclusion(
    "goodput chooses chunked prefill over tokens held back under fcfs", MIXED, 6, CHUNKED, HELD, GOODPUT
)
SMOOTH_CHOICE = Conclusion(
    "at saturation smooth goodput chooses fcfs over chunked prefill", MIXED, 8.5, FCFS, CHUNKED, SMOOTH
)
SURGE_CHOICE = Conclusion("andes raises QoE in a surge", SURGE, 6, "andes", FCFS, QOE)

CONCLUSIONS: tuple[Conclusion, ...] = (
    GOODPUT_CHOICE,
    Conclusion("smooth goodput does not", MIXED, 6, CHUNKED, FCFS, SMOOTH, better=False),
    SMOOTH_CHOICE,
    Conclusion("chunked prefill shortens the tail of the gaps", MIXED, 6, CHUNKED, FCFS, TBT),
    Conclusion("chunked prefill shortens the mean gap of a request", MIXED, 6, CHUNKED, FCFS, TPOT),
    Conclusion("fcfs has the shorter longest waits for a first token", MIXED, 6, FCFS, CHUNKED, TTFT_P99),
    Conclusion("holding tokens back raises goodput", MIXED, 6, HELD, FCFS, GOODPUT),
    Conclusion("holding tokens back does not raise smooth goodput", MIXED, 6, HELD, FCFS, SMOOTH, better=False),
    HONEST_CHOICE,
    Conclusion(
        "predicted lengths do not shorten the mean wait at a moderate rate",
        MIXED,
        6,
        "sjf_predicted",
        FCFS,
        TTFT,
        better=False,
    ),
    Conclusion(
        "predicted lengths do not raise smooth goodput at saturation",
        MIXED,
        8.5,
        "sjf_predicted",
        FCFS,
        SMOOTH,
        better=False,
    ),
    Conclusion(
        "dropping does not raise smooth goodput at saturation", MIXED, 8.5, "drop_on_miss", FCFS, SMOOTH, better=False
    ),
    SURGE_CHOICE,
    Conclusion("andes raises smooth goodput in a surge", SURGE, 6, "andes", FCFS, SMOOTH),
    Conclusion("andes does not shorten the longest waits in a surge", SURGE, 6, "andes", FCFS, TTFT_P99, better=False),
)
