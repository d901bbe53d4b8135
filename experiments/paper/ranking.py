"""All policies ranked by each metric on the same runs: which metric would have chosen which policy."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import compare_pairs
from experiments.labels import short_names
from experiments.numbers import number
from experiments.paper.best import Metric, best_set, ranks, samples
from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Finding, outcome
from experiments.paper.runs import Runs
from experiments.paper.words import spell
from experiments.style import NOTE_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STUDY = "ranking"
SMOOTH = Metric("smooth goodput", "smooth_goodput_tokens_per_s_window", "tokens/s")
GOODPUT = Metric("goodput, requests", "goodput_requests_per_s_window", "requests/s")
METRICS = (
    SMOOTH,
    Metric("QoE, mean", "qoe_mean", ""),
    Metric("fluidity, mean", "fluidity_mean", ""),
    Metric("effective tokens", "effective_tokens_per_s_window", "tokens/s"),
    GOODPUT,
    Metric("goodput, tokens", "goodput_tokens_per_s_window", "tokens/s"),
    Metric("SLO attainment", "slo_attainment", ""),
    Metric("TTFT P99", "ttft_p99", "s", higher_is_better=False),
    Metric("TBT P99", "tbt_p99", "s", higher_is_better=False),
    Metric("TPOT, mean", "tpot_mean", "s", higher_is_better=False),
    Metric("throughput", "throughput_tokens_per_s", "tokens/s"),
)
Ranks = np.ndarray[tuple[int, int], np.dtype[np.int64]]
_LOADS = ("moderate", "near saturation", "overload")


def read(runs: Mapping[str, Runs]) -> Section:
    """Whether goodput's choice is worse for readers, and which policies each metric chooses."""
    study = runs[STUDY]
    return Section((_metrics_finding(study), _goodput_finding(study)), _words(study), _table(study))


def draw(runs: Mapping[str, Runs]) -> Figure:
    """A heat map of ranks for each rate, metrics down, policies across."""
    from matplotlib.figure import Figure

    study = runs[STUDY]
    figure = Figure(figsize=(9.0, 2.75 * len(study.rates) + 1.0))
    axes = figure.subplots(len(study.rates), 1, sharex=True)
    for ax, rate, load in zip(axes, study.rates, _LOADS, strict=True):
        unstable = sum(study.row(policy, rate).unstable for policy in study.policies)
        plot_ranks(ax, rank_matrix(study, rate), [m.words for m in METRICS], _names(study))
        ax.set_title(f"{number(rate)} requests/s: {load} ({unstable} of {len(study.policies)} policies unstable)")
    figure.supxlabel(
        "1 is the best; policies that the paired intervals cannot tell apart, or not by more than 1 %, share a rank",
        fontsize="medium",
        color=NOTE_COLOUR,
    )
    return figure


def rank_matrix(study: Runs, rate: float) -> Ranks:
    """Ranks at a rate, (metrics, policies)."""
    found = [ranks(samples(study, rate, m), higher_is_better=m.higher_is_better) for m in METRICS]
    return np.array([[row[policy] for policy in study.policies] for row in found])


def plot_ranks(ax: Axes, matrix: Ranks, metrics: list[str], policies: list[str]) -> Axes:
    """Each rank as a number on a grey, dark for the first and lighter from there on; matrix: (metrics, policies)."""
    from matplotlib.colors import ListedColormap

    greys = [str(grey) for grey in (0.25, *np.linspace(0.72, 1.0, matrix.shape[1] - 1))]
    ax.imshow(matrix, cmap=ListedColormap(greys), vmin=0.5, vmax=matrix.shape[1] + 0.5, aspect="auto")
    for (i, j), rank in np.ndenumerate(matrix):
        first = rank == 1
        look: dict[str, Any] = {"color": "white", "fontweight": "bold"} if first else {"color": "black"}
        ax.text(j, i, str(rank), ha="center", va="center", **look)
    ax.set_xticks(range(len(policies)), policies, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(metrics)), metrics)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def _metrics_finding(study: Runs) -> Finding:
    apart, texts = [], []
    for rate in study.rates:
        sets = [set(best_set(study, rate, m)) for m in METRICS]
        pairs = list(combinations(sets, 2))
        disjoint = sum(not a & b for a, b in pairs)
        apart.append(disjoint > 0)
        texts.append(f"{disjoint} of {len(pairs)} at {number(rate)} req/s")
    numbers = f"pairs of metrics whose best policies have none in common: {', '.join(texts)}"
    return Finding("which policy is best depends on the metric", "2410.14257", outcome(apart), numbers)


def _goodput_finding(study: Runs) -> Finding:
    worse, texts = [], []
    for rate in study.rates:
        choice, best = best_set(study, rate, GOODPUT), best_set(study, rate, SMOOTH)[0]
        places = ranks(samples(study, rate, SMOOTH))
        last = max(choice, key=lambda policy: places[policy])
        claim = compare_pairs(*(study.samples(policy, rate, SMOOTH.key).tolist() for policy in (last, best)))
        worse.append(places[last] > 1)
        texts.append(
            f"at {number(rate)} req/s {_listed(study, choice)}, of which {_name(study, last)} has rank {places[last]} "
            f"by smooth goodput ({spell(claim.difference)} tokens/s)"
        )
    return Finding(
        "goodput has a policy among its best that serves readers worse",
        "2410.14257",
        outcome(worse),
        f"by requests that meet TTFT and TBT the best are: {'; '.join(texts)}",
    )


def _words(study: Runs) -> str:
    leaders = {rate: {best_set(study, rate, m) for m in METRICS} for rate in study.rates}
    counts = ", ".join(f"{len(found)} at {number(rate)}" for rate, found in leaders.items())
    return (
        f"The {len(METRICS)} metrics name so many different sets of best policies: {counts} requests/s. "
        "Without clients `fair_share` is `fcfs`, and `adaserve` has a draft model that no other policy has. "
        "A rank says nothing about distances: at the moderate rate most policies differ by less than readers notice."
    )


def _table(study: Runs) -> Table:
    rows = [(m.words, *(_listed(study, best_set(study, rate, m)) for rate in study.rates)) for m in METRICS]
    return Table(("metric", *(f"best at {number(rate)} req/s" for rate in study.rates)), tuple(rows))


def _listed(study: Runs, policies: tuple[str, ...], most: int = 3) -> str:
    if len(policies) > most:
        return f"a tie of {len(policies)}"
    return ", ".join(_name(study, policy) for policy in policies)


def _name(study: Runs, policy: str) -> str:
    return short_names(study.policies)[policy]


def _names(study: Runs) -> list[str]:
    return [_name(study, policy) for policy in study.policies]


RANKING = Experiment(
    name="ranking",
    title="Which metric chooses which policy",
    studies=(STUDY,),
    setting=(
        "All policies with their defaults (chunked prefill with 512 tokens) on a Llama-3-8B on one A100-80GB with "
        "vLLM's overhead of 2024; three quarters chats (ShareGPT, TTFT ≤ 1 s, TBT ≤ 100 ms, readers of all ages), "
        "one quarter documents to summarise (arXiv, 3 s, 200 ms, 5 tokens/s); predicted lengths with a lognormal "
        "error of 0.5."
    ),
    deviations=(
        "the matrix is ours: the paper shows two metrics and few policies. Beyond saturation every figure depends on "
        "the window",
    ),
    read=read,
    draw=draw,
)
