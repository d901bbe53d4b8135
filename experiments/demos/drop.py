"""Abandoning requests that have missed their SLO (the second anomaly of arXiv 2410.14257)."""

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.hand import Answer, HandPair, HandScore
from experiments.demos.measures import (
    ATTAINMENT,
    GOODPUT,
    OF_THE_OTHERS,
    QOE,
    of_the_dropped,
    whole,
)
from simulator.metrics import SLO, QoE, User

_BEFORE = tuple(i / 5 for i in range(1, 9))
_AFTER = tuple(i / 5 for i in range(11, 19))
_PATIENCE = 6.0
_WORKLOAD = {"workload": {"lengths": "azure-conv"}, "window": 240, "slo": {"ttft": 1.0, "tbt": 0.1}}

DEMO = Demonstration(
    name="drop",
    title="Requests abandoned once they have missed their SLO",
    claim="At a stable load, abandoning requests that missed a strict TBT bound improves attainment and goodput "
    "while smooth goodput and QoE worsen, however the wait of the dropped is read; under overload the dropped lose "
    "and everybody else gains.",
    hand=HandPair(
        served=Answer(title="Kept: a gap of 0.6 s that nobody notices", generated=(*_BEFORE, *_AFTER)),
        treated=Answer(title="Abandoned at the miss, while being read", generated=_BEFORE, dropped_at=2.1),
        user=User(speed=4.0, patience=_PATIENCE, qoe=QoE(ttft=0.25)),
        slo=SLO(tbt=0.5),
        scores=(
            HandScore(column="slo_met", words="SLO: TBT 500 ms"),
            HandScore(column="idle_latency", words="user idle latency", unit="s"),
            HandScore(column="benefit", words="worth, as printed", unit="tokens", user={"abandonment": "ignore"}),
            HandScore(column="benefit", words=f"worth, patience {_PATIENCE:g} s", unit="tokens"),
            HandScore(column="qoe", words="QoE"),
        ),
        until=6.6,
    ),
    parts=(
        Part(
            name="stable",
            where="5 requests/s, a stable load",
            fields={
                **_WORKLOAD,
                "name": "demo-drop-stable",
                "rates": [5],
                "policies": ["fcfs", "drop_on_miss:on=tbt"],
            },
            labels=("fcfs", "dropping"),
            expected={
                ATTAINMENT: "improves",
                GOODPUT: "improves",
                whole("ignore"): "worsens",
                whole("patience"): "worsens",
                QOE: "worsens",
            },
        ),
        Part(
            name="overload",
            where="12 requests/s, 1.5 times what it can serve",
            fields={
                **_WORKLOAD,
                "name": "demo-drop-overload",
                "rates": [12],
                "policies": ["fcfs", "drop_on_miss:on=ttft"],
            },
            labels=("fcfs", "dropping"),
            expected={of_the_dropped("patience"): "worsens", OF_THE_OTHERS: "improves"},
            longest_patience=150.0,
        ),
    ),
)
