"""Summaries as plain JSON: latencies as objects, counts as whole numbers, what is undefined as null."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, isinf, isnan
from typing import Any

_LATENCIES = ("ttft", "tbt", "tpot", "e2e")
_STATISTICS = ("mean", "p50", "p90", "p99")


def nested(values: Mapping[str, float]) -> dict[str, Any]:
    """`ttft_mean`, … as {"ttft": {"mean": …}}; a `num_…` without a fraction as a whole number; the rest as it is."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        family, _, statistic = name.partition("_")
        whole = name.startswith("num_") and isfinite(value) and value == round(value)
        number = int(value) if whole else plain(value)
        if family in _LATENCIES and statistic in _STATISTICS:
            out.setdefault(family, {})[statistic] = number
        else:
            out[name] = number
    return out


def plain(value: float) -> float | str | None:
    """A number that JSON knows: null for NaN, "inf" for infinity."""
    if isnan(value):
        return None
    return "inf" if isinf(value) else value
