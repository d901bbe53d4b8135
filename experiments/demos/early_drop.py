"""Dropping before the first token, which smooth goodput as printed rewards (arXiv 2410.14257)."""

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.hand import Answer, HandPair, HandScore
from experiments.demos.measures import OF_THE_OTHERS, of_the_dropped, whole
from simulator.metrics import SLO, QoE, User

_PATIENCE = 12.0

DEMO = Demonstration(
    name="early-drop",
    title="Requests turned away before their first token",
    claim="Smooth goodput as printed rewards turning users away before their first token: it improves, and so does "
    "the part of those turned away; counting their wait until the drop repairs nothing; with patience their own part "
    "does not improve, and what the whole gains is what everybody else gains.",
    hand=HandPair(
        served=Answer(title="Answered after 8 s", generated=tuple(8 + i / 10 for i in range(10))),
        treated=Answer(title="Turned away after 1 s", generated=(), dropped_at=1.0),
        user=User(speed=4.0, patience=_PATIENCE, qoe=QoE(ttft=0.25)),
        slo=SLO(ttft=1.0),
        scores=(
            HandScore(column="slo_met", words="SLO: TTFT 1 s"),
            HandScore(column="num_tokens", words="tokens received"),
            HandScore(column="benefit", words="worth, as printed", unit="tokens", user={"abandonment": "ignore"}),
            HandScore(
                column="benefit", words="… wait until the drop", unit="tokens", user={"abandonment": "idle_until_drop"}
            ),
            HandScore(column="benefit", words=f"… patience {_PATIENCE:g} s", unit="tokens"),
        ),
        until=13.0,
    ),
    parts=(
        Part(
            name="study",
            where="16 requests/s, twice what it can serve",
            fields={
                "name": "demo-early-drop",
                "workload": {"lengths": "azure-conv"},
                "rates": [16],
                "window": 240,
                "policies": ["fcfs", "drop_on_miss:variant=before_first_token_only"],
                "slo": {"ttft": 1.0},
            },
            labels=("fcfs", "dropping"),
            expected={
                whole("ignore"): "improves",
                whole("idle_until_drop"): "improves",
                of_the_dropped("ignore"): "improves",
                of_the_dropped("idle_until_drop"): "improves",
                of_the_dropped("patience"): "does not improve",
                OF_THE_OTHERS: "improves",
            },
            longest_patience=200.0,
        ),
    ),
)
