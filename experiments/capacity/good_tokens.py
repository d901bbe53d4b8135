"""Which tokens are good by a condition, for what a million of them costs."""

from __future__ import annotations

from math import nan

from experiments.capacity.conditions import Condition, Peak, Values

_SLO_METRICS = ("slo_attainment", "goodput_")
_MEETING_SLO = "goodput_tokens_per_s_window"
_ALL = "output_tokens_per_s_window"
_WORDS = {_MEETING_SLO: "tokens of requests that meet the SLO", _ALL: "all output tokens"}


def good_tokens_name(condition: Condition) -> str:
    """The metric that counts the tokens that the condition makes good.

    Of a condition on attainment or goodput: output tokens of requests that meet the SLO. Of a peak of a metric in
    tokens/s, such as smooth goodput: that metric. Of any other: all output tokens, for the condition is a promise
    about the run as a whole, and the run keeps it. No source defines them but for an SLO (arXiv 2410.14257, eq. 7).
    """
    if any(metric.startswith(_SLO_METRICS) for metric in condition.metrics):
        return _MEETING_SLO
    if isinstance(condition, Peak) and "tokens_per_s" in condition.metric:
        return condition.metric
    return _ALL


def good_tokens_words(condition: Condition) -> str:
    """The same for people."""
    name = good_tokens_name(condition)
    return _WORDS.get(name, name.replace("_tokens_per_s", "").replace("_window", "").replace("_", " "))


def good_tokens_per_s(condition: Condition, values: Values) -> float:
    """Good tokens per second of the arrival window of a run; NaN where it has none."""
    name = good_tokens_name(condition)
    if name != _ALL:
        return values[name]
    return values["num_tokens"] / values["window"] if values["window"] > 0 else nan
