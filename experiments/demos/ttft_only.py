"""Promising the first token alone, which prefill-first keeps by starving whoever is being answered."""

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.hand import Answer, HandPair, HandScore
from experiments.demos.measures import (
    ATTAINMENT,
    GOODPUT,
    IDLE_LATENCY,
    MEAN_TTFT,
    QOE,
    SMOOTH_GOODPUT,
    TAIL_TBT,
)
from simulator.metrics import SLO, QoE, User

DEMO = Demonstration(
    name="ttft-only",
    title="A promise on the first token alone",
    claim="Under load, prefill-first keeps a TTFT promise better than chunked prefill, and so has the better "
    "goodput by it, while tail TBT, idle latency, smooth goodput and QoE are worse.",
    hand=HandPair(
        served=Answer(
            title="Chunked: a later start, then steadily", generated=tuple(0.75 + i * 0.15 for i in range(12))
        ),
        treated=Answer(
            title="Prefill-first: at once, then others' prompts",
            generated=(0.25, *(3.0 + i / 20 for i in range(11))),
        ),
        user=User(speed=4.0, qoe=QoE(ttft=0.25)),
        slo=SLO(ttft=1.0),
        scores=(
            HandScore(column="ttft", words="TTFT", unit="s"),
            HandScore(column="slo_met", words="SLO: TTFT 1 s"),
            HandScore(column="tbt_max", words="longest gap", unit="s"),
            HandScore(column="idle_latency", words="user idle latency", unit="s"),
            HandScore(column="benefit", words="worth (smooth goodput)", unit="tokens"),
            HandScore(column="qoe", words="QoE"),
        ),
        until=6.0,
    ),
    parts=(
        Part(
            name="study",
            where="5.5 requests/s of code completion, read at 20 tokens/s",
            fields={
                "name": "demo-ttft-only",
                "workload": {"lengths": "azure-code"},
                "rates": [5.5],
                "window": 360,
                "policies": ["chunked_prefill", "fcfs"],
                "slo": {"ttft": 1.0},
                "user": {"speed": 20},
            },
            labels=("chunked", "prefill-first"),
            expected={
                MEAN_TTFT: "improves",
                ATTAINMENT: "improves",
                GOODPUT: "improves",
                TAIL_TBT: "worsens",
                IDLE_LATENCY: "worsens",
                SMOOTH_GOODPUT: "worsens",
                QOE: "worsens",
            },
        ),
    ),
)
