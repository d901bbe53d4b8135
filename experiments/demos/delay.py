"""Holding tokens back until just under the TBT bound (the first anomaly of arXiv 2410.14257)."""

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.hand import Answer, HandPair, HandScore
from experiments.demos.measures import (
    ATTAINMENT,
    GOODPUT,
    IDLE_LATENCY,
    MEAN_E2E,
    QOE,
    SMOOTH_GOODPUT,
    TAIL_TBT,
)
from simulator.metrics import SLO, QoE, User

_STALLED = tuple(i / 10 for i in [*range(1, 11), *range(20, 26)])

DEMO = Demonstration(
    name="delay",
    title="Tokens held back until just under the TBT bound",
    claim="Holding tokens back improves tail TBT, SLO attainment and goodput, and neither the users' idle latency "
    "nor smooth goodput nor QoE; answers end later.",
    hand=HandPair(
        served=Answer(title="As generated: 10 tokens in 1 s, a stall of 1 s", generated=_STALLED),
        treated=Answer(title="Held back: nothing is earlier", generated=_STALLED, delivery="hold_tokens:gap=0.25"),
        user=User(speed=4.0, qoe=QoE(ttft=0.25)),
        slo=SLO(tbt=0.25),
        scores=(
            HandScore(column="tbt_max", words="longest gap", unit="s"),
            HandScore(column="slo_met", words="SLO: TBT 250 ms"),
            HandScore(column="e2e", words="last token after", unit="s"),
            HandScore(column="idle_latency", words="user idle latency", unit="s"),
            HandScore(column="benefit", words="worth (smooth goodput)", unit="tokens"),
            HandScore(column="qoe", words="QoE"),
        ),
        until=4.2,
    ),
    parts=(
        Part(
            name="study",
            where="5 requests/s",
            fields={
                "name": "demo-delay",
                "workload": {"lengths": "azure-conv"},
                "rates": [5],
                "window": 240,
                "policies": ["fcfs", "fcfs@hold_tokens:gap=0.1"],
                "slo": {"ttft": 1.0, "tbt": 0.1},
            },
            labels=("fcfs", "held"),
            expected={
                TAIL_TBT: "improves",
                ATTAINMENT: "improves",
                GOODPUT: "improves",
                IDLE_LATENCY: "does not improve",
                SMOOTH_GOODPUT: "does not improve",
                QOE: "does not improve",
                MEAN_E2E: "worsens",
            },
        ),
    ),
)
