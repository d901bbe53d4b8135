"""What the columns of a report's tables mean, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.report_page.page import PageTable

_TERMS = {
    "TTFT": "Time to first token: from when a request is sent until its first token is delivered.",
    "TBT": "Time between tokens: every gap between two tokens of one answer.",
    "SLO met": "Share of all requests that meet every bound of the SLO (attainment).",
    "goodput": "Requests that meet the SLO, per second.",
    "smooth goodput": (
        "Delivered tokens less α for each second that a user reading at their own speed had to wait, per second. "
        "It is negative where waiting outweighs reading (arXiv 2410.14257)."
    ),
    "of bound": "Smooth goodput as a share of an upper bound, in which requests do not slow one another down.",
    "util": "Share of the run in which the GPU was at work.",
    "queue": "Requests waiting to be served, on average over the run.",
    "peak KV": "Largest share of the KV cache that was in use.",
    "QoE": "Quality of experience: how near delivery came to what users expect, from 0 to 1 (arXiv 2404.16283).",
}
_STATISTICS = ("mean ", "P99 ")


def terms(tables: Iterable[PageTable]) -> tuple[tuple[str, str], ...]:
    """Each term that stands at the head of a column, with its meaning, in the order in which they first appear."""
    found: dict[str, str] = {}
    for head in (head for table in tables for head in table.heads):
        words = " ".join(head.split())
        for statistic in _STATISTICS:
            words = words.removeprefix(statistic)
        found |= {term: meaning for term, meaning in _TERMS.items() if f"{words} ".startswith(f"{term} ")}
    return tuple(found.items())
