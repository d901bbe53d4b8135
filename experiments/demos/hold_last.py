"""Withholding the last token, which raises Andes' QoE (arXiv 2404.16283)."""

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.hand import Answer, HandPair, HandScore
from experiments.demos.measures import GOOD_QOE, IDLE_LATENCY, MEAN_E2E, QOE, SMOOTH_GOODPUT
from simulator.metrics import SLO, QoE, User

_LATE = tuple(6 + i / 4 for i in range(10))

DEMO = Demonstration(
    name="hold-last",
    title="The last token of every answer withheld",
    claim="Withholding the last token of every answer for 600 s improves mean QoE and the share of good answers, "
    "and not smooth goodput; users wait longer.",
    hand=HandPair(
        served=Answer(title="A late answer", generated=_LATE),
        treated=Answer(title="The same, its last token withheld", generated=_LATE, delivery="hold_last:wait=20"),
        user=User(speed=2.0, qoe=QoE(ttft=0.5)),
        slo=SLO(ttft=1.0),
        scores=(
            HandScore(column="qoe", words="QoE = 1 − red area/all shaded"),
            HandScore(column="e2e", words="last token after", unit="s"),
            HandScore(column="idle_latency", words="user idle latency", unit="s"),
            HandScore(column="benefit", words="worth (smooth goodput)", unit="tokens"),
        ),
        shows="qoe",
        until=30.0,
    ),
    parts=(
        Part(
            name="study",
            where="10 requests/s, more than it can serve",
            fields={
                "name": "demo-hold-last",
                "workload": {"lengths": "azure-conv"},
                "rates": [10],
                "window": 240,
                "policies": ["fcfs", "fcfs@hold_last:wait=600"],
                "slo": {"ttft": 1.0, "tbt": 0.1},
            },
            labels=("fcfs", "withheld"),
            expected={
                QOE: "improves",
                GOOD_QOE: "improves",
                SMOOTH_GOODPUT: "does not improve",
                IDLE_LATENCY: "worsens",
                MEAN_E2E: "worsens",
            },
        ),
    ),
)
