"""Which chunk size each metric chooses (arXiv 2410.14257)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.intervals import interval
from experiments.numbers import number
from experiments.paper.best import Metric, best_set
from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Finding, outcome
from experiments.paper.panels import panels
from experiments.paper.peaks import SPAN
from experiments.paper.runs import Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDY = "chunk-size"
METRICS = (
    Metric("TTFT P99", "ttft_p99", "s", higher_is_better=False),
    Metric("TBT P99", "tbt_p99", "s", higher_is_better=False),
    Metric("TPOT mean", "tpot_mean", "s", higher_is_better=False),
    Metric("goodput", "goodput_requests_per_s_window", "requests/s"),
    Metric("smooth goodput", SPAN, "tokens/s"),
    Metric("QoE", "qoe_mean", ""),
)
_DRAWN = (METRICS[1], METRICS[3], METRICS[4])
_MARKS = (("#56B4E9", "o", "-"), ("#0072B2", "s", "--"), ("#000000", "^", "-."), ("#D55E00", "D", ":"))


def read(runs: Mapping[str, Runs]) -> Section:
    """Which sizes may be the best by each metric at each rate."""
    study = runs[STUDY]
    chosen = {(m.words, rate): best_set(study, rate, m) for m in METRICS for rate in study.rates}
    rows = [(m.words, *(_sizes(study, chosen[m.words, rate]) for rate in study.rates)) for m in METRICS]
    table = Table(("may be best at req/s", *(number(rate) for rate in study.rates)), tuple(rows))
    apart = [not set(chosen["TBT P99", rate]) & set(chosen["smooth goodput", rate]) for rate in study.rates]
    numbers = "; ".join(
        f"at {number(rate)} req/s TBT P99 chooses {_sizes(study, chosen['TBT P99', rate])}, goodput "
        f"{_sizes(study, chosen['goodput', rate])}, smooth goodput {_sizes(study, chosen['smooth goodput', rate])}"
        for rate in study.rates
    )
    finding = Finding(
        "the chunk size that tail TBT chooses is not the one that serves readers best",
        "2410.14257",
        outcome(apart),
        numbers,
    )
    return Section((finding,), _words(), table)


def draw(runs: Mapping[str, Runs]) -> Figure:
    """TBT P99, goodput and smooth goodput against the chunk size, a line per rate."""
    study = runs[STUDY]
    figure, axes = panels(len(_DRAWN), across=len(_DRAWN))
    chunked = [policy for policy in study.policies if policy != "fcfs"]
    sizes = [int(_size(policy)) for policy in chunked]
    for ax, metric in zip(axes, _DRAWN, strict=True):
        for rate, (colour, marker, dash) in zip(study.rates, _MARKS, strict=False):
            points = np.array([interval(study.samples(policy, rate, metric.key)) for policy in chunked])
            ax.errorbar(
                sizes,
                points[:, 0],
                points[:, 1],
                color=colour,
                marker=marker,
                linestyle=dash,
                capsize=3,
                label=f"{number(rate)} requests/s",
            )
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_ylim(bottom=0)
        ax.set_xlabel("chunk size (tokens)")
        ax.set_ylabel(f"{metric.words} ({metric.unit})")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _words() -> str:
    return (
        "Small chunks bound the gap between tokens, and pay for it with an engine overhead and a read of the weights "
        "per chunk, so they saturate first. Tail TBT sees only the first effect; smooth goodput sees neither while "
        "readers are slower than the server, and only the second one beyond."
    )


def _size(policy: str) -> str:
    return policy.partition("=")[2] or policy


def _sizes(study: Runs, policies: tuple[str, ...]) -> str:
    """In the study's order, which is ascending; or that nothing tells them apart."""
    if len(policies) == len(study.policies):
        return "all"
    return ", ".join(_size(policy) for policy in study.policies if policy in policies)


CHUNK_SIZE = Experiment(
    name="chunk-size",
    title="Chunk size",
    studies=(STUDY,),
    setting=(
        "Llama-3-8B on one A100-80GB with vLLM's overhead of 2024, azure-conv, Poisson arrivals, at most 128 requests "
        "at once so that 128 tokens hold every decode; SLO for goodput: TTFT ≤ 1 s, TBT ≤ 100 ms. "
        "Sizes that may be the best are those that no other is certainly better than by "
        "more than 1 %."
    ),
    deviations=("the paper's sizes and bounds are not known to us; fcfs is prefill-first with whole prompts",),
    read=read,
    draw=draw,
)
