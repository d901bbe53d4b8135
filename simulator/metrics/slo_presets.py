"""SLOs that papers set, by name, as the bounds of an `SLO` in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulator.unknown_name import unknown_name

PRESETS: Final[Mapping[str, Mapping[str, float]]] = {
    "distserve/chat-13b": {"ttft": 0.25, "tpot": 0.1},
    "distserve/chat-66b": {"ttft": 2.5, "tpot": 0.15},
    "distserve/chat-175b": {"ttft": 4.0, "tpot": 0.2},
    "distserve/code-66b": {"ttft": 0.125, "tpot": 0.2},
    "distserve/summarization-66b": {"ttft": 15.0, "tpot": 0.15},
    "sarathi/mistral-7b/strict": {"tbt": 0.1},
    "sarathi/mistral-7b/relaxed": {"tbt": 0.5},
    "sarathi/yi-34b/strict": {"tbt": 0.2},
    "sarathi/yi-34b/relaxed": {"tbt": 1.0},
    "sarathi/70b/strict": {"tbt": 1.0},
    "sarathi/70b/relaxed": {"tbt": 5.0},
}
"""distserve: DistServe (arXiv 2401.09670), met by a request. sarathi: Sarathi-Serve (arXiv 2403.02310), which bounds
the P99 of all gaps of a run (`tbt_p99` of the summary); as an SLO it bounds every gap of a request, which is stricter.
"""


def preset(name: str) -> Mapping[str, float]:
    """The bounds of a preset. Raises ValueError naming the nearest presets, and all of them."""
    if name not in PRESETS:
        raise ValueError(unknown_name("SLO preset", name, PRESETS))
    return PRESETS[name]
