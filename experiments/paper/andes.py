"""Andes against fcfs: QoE over rates and surges, and how many GPUs it takes (arXiv 2404.16283, v1 and v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from experiments.claims import compare_pairs
from experiments.intervals import Interval, interval
from experiments.numbers import number
from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Finding, count, outcome
from experiments.paper.panels import panels
from experiments.paper.runs import Runs
from experiments.paper.shapes import last_rate_within, ratios
from experiments.paper.words import spell
from experiments.style import policy_styles
from simulator.token_log import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FCFS, ANDES = "fcfs", "andes"
QOE = "qoe_mean"
RATE, SURGE = "andes-rate", "andes-surge"
HEIGHTS = (1.2, 1.6, 2.0, 2.4, 2.8)
WIDTHS = (0.25, 0.3, 0.35, 0.4, 0.45)
TARGETS = (0.9, 0.95)
_DEFAULT = "andes-height-2"
_TOTAL_RATE = 100.0
"""Requests/s of the fleet for which GPUs are counted."""


def height_study(height: float) -> str:
    """The study of a surge so high."""
    return f"andes-height-{height:g}"


def width_study(width: float) -> str:
    """The study of a surge that is so wide a share of its cycle."""
    return _DEFAULT if width == WIDTHS[2] else f"andes-width-{width:g}"


def capacities(runs: Runs, policy: str, target: float) -> Floats:
    """Highest rate with a mean QoE of at least `target`, of each seed, requests/s, (seeds,)."""
    return np.array([last_rate_within(runs.rates, curve, target, below=False) for curve in runs.curves(policy, QOE)])


def intensities(runs: Mapping[str, Runs], policy: str, target: float) -> Floats:
    """Highest surge with a mean QoE of at least `target`, over the mean rate, of each seed, (seeds,)."""
    studies = [runs[height_study(height)] for height in HEIGHTS]
    curves = np.stack([each.samples(policy, each.rates[0], QOE) for each in studies], axis=1)
    return np.array([last_rate_within(HEIGHTS, curve, target, below=False) for curve in curves])


def read(runs: Mapping[str, Runs]) -> Section:
    """The findings about QoE, rates, surges, throughput and GPUs."""
    findings = (
        _gain_finding(runs),
        _rate_finding(runs[RATE]),
        _throughput_finding(runs),
        _intensity_finding(runs),
        _gpu_finding(runs[SURGE]),
    )
    return Section(findings, _words(runs), _gpu_table(runs))


def draw(runs: Mapping[str, Runs]) -> Figure:
    """QoE against the Poisson rate, the mean rate of a surge, its height and its width."""
    figure, axes = panels(4, across=2)
    for ax, name, words in zip(axes, (RATE, SURGE), ("Poisson arrivals", "One surge, 2 × the mean rate"), strict=False):
        points = {p: [interval(runs[name].samples(p, r, QOE)) for r in runs[name].rates] for p in (FCFS, ANDES)}
        _lines(ax, runs[name].rates, points).set_title(words)
        ax.set_xlabel("arrival rate (requests/s)" if name == RATE else "mean arrival rate (requests/s)")
    grids = (
        (HEIGHTS, height_study, "height of the surge (of the mean rate)"),
        (WIDTHS, width_study, "width of the surge (share of the cycle)"),
    )
    for ax, (values, study, words) in zip(axes[2:], grids, strict=True):
        shown = [runs[study(value)] for value in values]
        points = {p: [interval(each.samples(p, each.rates[0], QOE)) for each in shown] for p in (FCFS, ANDES)}
        _lines(ax, values, points).set_xlabel(words)
        ax.set_title(f"Surge at {number(shown[0].rates[0])} requests/s on average")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _lines(ax: Axes, x: Sequence[float], points: Mapping[str, Sequence[Interval]]) -> Axes:
    for policy, style in policy_styles((FCFS, ANDES)).items():
        mean, half_width = np.array(points[policy]).T
        ax.errorbar(
            x, mean, half_width, color=style.colour, marker=style.marker, linestyle=style.dash, capsize=3, label=policy
        )
    for target in TARGETS:
        ax.axhline(target, color="#999999", linewidth=0.8, linestyle=":")
    ax.set_ylim(0, 1.03)
    ax.set_ylabel("mean QoE")
    return ax


def _pairs(runs: Mapping[str, Runs]) -> list[tuple[Runs, float]]:
    return [(each, rate) for each in runs.values() for rate in each.rates]


def _both(runs: Runs, rate: float, key: str) -> tuple[list[float], list[float]]:
    return runs.samples(ANDES, rate, key).tolist(), runs.samples(FCFS, rate, key).tolist()


def _gain_finding(runs: Mapping[str, Runs]) -> Finding:
    claims = [(compare_pairs(*_both(each, rate, QOE)), each, rate) for each, rate in _pairs(runs)]
    pressed = [entry for entry in claims if entry[0].mean_b < 0.99] or claims
    best, each, rate = max(pressed, key=lambda entry: entry[0].mean_a / entry[0].mean_b)
    helped = [claim.improves for claim, _, _ in pressed]
    factor = best.mean_a / best.mean_b
    numbers = (
        f"better in {count(helped)} of the points at which fcfs is below 0.99; at most {factor:.2f} times, "
        f"{number(best.mean_b)} → {number(best.mean_a)} ({spell(best.difference)}) in {each.study.name} at "
        f"{number(rate)} req/s"
    )
    checks = [all(helped), factor >= 3.2, factor >= 4.7]
    return Finding("up to 3.2 (v1) and 4.7 (v2) times the QoE of fcfs", "2404.16283", outcome(checks), numbers)


def _rate_finding(runs: Runs) -> Finding:
    fcfs, andes = capacities(runs, FCFS, 0.9), capacities(runs, ANDES, 0.9)
    ratio = interval(ratios(andes, fcfs))
    checks = [ratio.mean - ratio.half_width > 1, ratio.mean + ratio.half_width >= 1.2]
    numbers = (
        f"{spell(ratio)} times: {number(float(fcfs.mean()))} → "
        f"{number(float(andes.mean()))} req/s with Poisson arrivals"
    )
    return Finding("1.2 to 1.6 times the rate at a QoE ≥ 0.9", "2404.16283 v1", outcome(checks), numbers)


def _throughput_finding(runs: Mapping[str, Runs]) -> Finding:
    claims = [compare_pairs(*_both(each, rate, "throughput_tokens_per_s")) for each, rate in _pairs(runs)]
    worst = min(claims, key=lambda claim: claim.difference.mean / claim.mean_b)
    held = all(c.difference.mean - c.difference.half_width >= -0.1 * c.mean_b for c in claims)
    numbers = f"at most {-100 * worst.difference.mean / worst.mean_b:.1f} % less, in {len(claims)} points"
    return Finding("no more than 10 % of throughput is lost", "2404.16283 v1", outcome([held]), numbers)


def _intensity_finding(runs: Mapping[str, Runs]) -> Finding:
    fcfs, andes = intensities(runs, FCFS, 0.95), intensities(runs, ANDES, 0.95)
    ratio = interval(ratios(andes, fcfs))
    numbers = f"{spell(ratio)} times: a surge of {spell(interval(fcfs))} → {spell(interval(andes))} times the mean rate"
    checks = [ratio.mean - ratio.half_width > 1, ratio.mean + ratio.half_width >= 2.6]
    return Finding("2.6 times the burst intensity at a QoE of 0.95", "2404.16283 v2", outcome(checks), numbers)


def saved(runs: Runs, target: float) -> Interval:
    """Share of the GPUs of fcfs that andes does without at this QoE."""
    return interval(1 - ratios(capacities(runs, FCFS, target), capacities(runs, ANDES, target)))


def _gpu_finding(runs: Runs) -> Finding:
    fewer = saved(runs, 0.95)
    numbers = (
        f"{100 * fewer.mean:.0f} % ± {100 * fewer.half_width:.0f} % fewer for surges of twice the mean rate: "
        f"{_gpus(capacities(runs, FCFS, 0.95))} → {_gpus(capacities(runs, ANDES, 0.95))} for {_TOTAL_RATE:g} req/s"
    )
    checks = [fewer.mean - fewer.half_width > 0, fewer.mean + fewer.half_width >= 0.61]
    return Finding("61 % fewer GPUs at a QoE of 0.95", "2404.16283 v2", outcome(checks), numbers)


def _gpus(capacity: Floats) -> str:
    return str(ceil(_TOTAL_RATE / float(capacity.mean()))) if capacity.mean() > 0 else "–"


def _gpu_table(runs: Mapping[str, Runs]) -> Table:
    rows = []
    for name, words in ((RATE, "Poisson"), (SURGE, "surge of twice the mean rate")):
        for target in TARGETS:
            found = [capacities(runs[name], policy, target) for policy in (FCFS, ANDES)]
            fewer = saved(runs[name], target)
            rows.append(
                (
                    words,
                    f"{target:g}",
                    *(spell(interval(each)) for each in found),
                    *(_gpus(each) for each in found),
                    f"{spell(fewer, 100)} %",
                )
            )
    head = ("arrivals", "mean QoE ≥", "fcfs, req/s a GPU", "andes", "GPUs, fcfs", "GPUs, andes", "fewer")
    return Table(head, tuple(rows))


def _words(runs: Mapping[str, Runs]) -> str:
    surge = runs[SURGE]
    rate = surge.rates[-1]
    late = compare_pairs(*_both(surge, rate, "ttft_p99"), higher_is_better=False)
    return (
        "Below saturation nobody waits and the two are one policy; beyond, Andes keeps more users content at the same "
        f"throughput by giving up on those who are already late: at {number(rate)} req/s of the surge the P99 TTFT "
        f"goes from {number(late.mean_b)} to {number(late.mean_a)} s. "
        f"GPUs are counted for {_TOTAL_RATE:g} requests/s, split at random, each replica bearing the highest rate at "
        "which its own mean QoE keeps the target, linear between the rates measured."
    )


ANDES_QOE = Experiment(
    name="andes",
    title="Andes: QoE over rates and surges",
    studies=(
        RATE,
        SURGE,
        *(height_study(height) for height in HEIGHTS),
        *(width_study(width) for width in WIDTHS if width != WIDTHS[2]),
    ),
    setting=(
        "Llama-2-7B on one A800-80GB, ShareGPT, readers of all ages, expected TTFT max(1, prompt // 5000) s; Poisson "
        "arrivals, or one burst cycle of 1200 s with twice the mean rate for 35 % of it unless said."
    ),
    deviations=(
        "the papers' models and devices (OPT on A100s in v1, Phi-3.5-MoE and others in v2) have no profile here: a "
        "dense model with much KV per token stands in, as cache pressure is what Andes is for",
        "Andes runs with a third trigger, a request that cannot be admitted, and both guards (see policies/README.md)",
        "the surge lies in the middle of the cycle; BurstGPT's hour is not used",
        "the fleet is one replica per GPU with a random split, so a replica sees the same process at its share",
    ),
    read=read,
    draw=draw,
)
