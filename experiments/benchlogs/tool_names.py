"""The load tools' names of their own figures, and ours."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.benchlogs.node import Node
from simulator.metrics import SLO

_STATISTICS = {"mean": "mean", "median": "p50", "p50": "p50", "p90": "p90", "p99": "p99"}
_THROUGHPUTS = {
    "request_throughput": "throughput_requests_per_s",
    "output_throughput": "throughput_tokens_per_s",
    "request_goodput": "goodput_requests_per_s_reported",
    "slo_attainment": "slo_attainment_reported",
}


def reported_figures(run: Node, latencies: Mapping[str, str]) -> dict[str, float]:
    """Figures that a run reports as `mean_ttft_ms`, `p99_itl_ms`, … and `request_goodput`, by our names and units.

    latencies: the tool's name of a latency to ours, such as itl to tbt. A figure that is absent, null or no finite
    number, as a tool writes for a run without a finished request, is left out.
    """
    figures = {}
    for theirs, ours in latencies.items():
        for statistic, name in _STATISTICS.items():
            value = finite(run.get(f"{statistic}_{theirs}_ms"))
            if value is not None:
                figures[f"{ours}_{name}_tool"] = value / 1e3
    for theirs, ours in _THROUGHPUTS.items():
        value = finite(run.get(theirs))
        if value is not None:
            figures[f"{ours}_tool"] = value
    return figures


def slo_in_ms(bounds: Node | None, names: Mapping[str, str]) -> SLO | None:
    """The SLO that a tool was given, an object of bounds in ms by its names; None if one of them is not ours, or none.

    names: the tool's name of a latency to ours. Raises LogError for a bound that is no time.
    """
    if bounds is None or not isinstance(bounds.value, dict):
        return None
    given = [key for key in bounds.value if bounds.get(key) is not None]
    if not given or not set(given) <= set(names):
        return None
    return SLO.model_validate({names[key]: bounds[key].time("ms") for key in given})


def finite(node: Node | None) -> float | None:
    """The number of a node; None if there is no node or its number is not finite. Raises LogError for no number."""
    if node is None or node.value in (float("inf"), float("-inf")) or node.value != node.value:
        return None
    return node.number()
