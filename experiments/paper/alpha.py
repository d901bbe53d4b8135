"""Where smooth goodput peaks as waiting costs more: the same runs, rescored, and readers of other speeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.claims import compare_pairs
from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Finding, count, outcome
from experiments.paper.panels import panels
from experiments.paper.peaks import Peak, peak_of, rescored, settings
from experiments.paper.runs import Runs
from experiments.paper.smooth_goodput import V2_STUDIES
from experiments.paper.words import policy_words, setting_words, spell
from experiments.style import policy_styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHAS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0)
"""Tokens/s that a second of waiting costs."""
_DRAWN = ("v2-speed-4.5", "v2-llama-3-8b-azure-conv", "v2-speed-30")


def peak_at(runs: Runs, policy: str, alpha: float) -> Peak:
    """Where smooth goodput over the span peaks at this price of waiting."""
    return peak_of(runs, policy, rescored(runs, policy, alpha))


def read(runs: Mapping[str, Runs]) -> Section:
    """Whether the peak moves to lower rates, from the lowest α to the highest, and never back."""
    checks, shifts = [], []
    for each, policy in settings([*runs.values()]):
        peaks = [peak_at(each, policy, alpha) for alpha in ALPHAS]
        claim = compare_pairs(peaks[-1].rates.tolist(), peaks[0].rates.tolist(), higher_is_better=False)
        steps = np.diff([p.rate.mean for p in peaks])
        checks.append(claim.improves and bool((steps <= 0.01 * peaks[0].rate.mean).all()))
        shifts.append(claim.mean_a / claim.mean_b - 1)
    numbers = (
        f"from α = {ALPHAS[0]:g} to {ALPHAS[-1]:g} tokens/s the peak moves down, and at no step up by more than 1 %, "
        f"in {count(checks)} (setting, policy) pairs, by {min(shifts):+.0%} to {max(shifts):+.0%}"
    )
    finding = Finding("a larger α moves the peak to a lower rate", "2410.14257 v2", outcome(checks), numbers)
    return Section((finding,), _words(shifts), _table(runs))


def draw(runs: Mapping[str, Runs]) -> Figure:
    """The peak's rate against α, a panel for each reading speed, with the 95 % interval over seeds."""
    shown = [runs[name] for name in _DRAWN]
    figure, axes = panels(len(shown), across=len(shown))
    for ax, each in zip(axes, shown, strict=True):
        for policy, style in policy_styles(each.policies).items():
            peaks = [peak_at(each, policy, alpha).rate for alpha in ALPHAS]
            ax.errorbar(
                ALPHAS,
                [p.mean for p in peaks],
                [p.half_width for p in peaks],
                color=style.colour,
                marker=style.marker,
                linestyle=style.dash,
                label=policy_words(policy),
                capsize=3,
            )
        ax.set_xscale("log")
        ax.set_xticks(ALPHAS, [f"{alpha:g}" for alpha in ALPHAS])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_xlabel("α (tokens/s)")
        ax.set_ylabel("peak of smooth goodput (requests/s)")
        ax.set_title(f"Readers of {each.study.user.speed} tokens/s")
    handles, names = axes[1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _words(shifts: list[float]) -> str:
    return (
        "A request's benefit is n − α·l, so each run is rescored from its tokens and idle latencies, and nothing is "
        "simulated again for another α; another reading speed changes l and has runs of its own. That the peak of the "
        "mean cannot move up follows from l growing with the rate; how far it moves down is what is measured: "
        f"{min(shifts):+.0%} at most for a price {ALPHAS[-1] / ALPHAS[0]:g} times as high, since waiting sets in "
        "steeply where the server saturates."
    )


def _table(runs: Mapping[str, Runs]) -> Table:
    rows = []
    for each, policy in settings([*runs.values()]):
        peaks = [spell(peak_at(each, policy, alpha).rate) for alpha in ALPHAS]
        rows.append((setting_words(each.study.name), policy_words(policy), *peaks))
    return Table(("peak in req/s", "policy", *(f"α = {alpha:g}" for alpha in ALPHAS)), tuple(rows))


ALPHA = Experiment(
    name="alpha",
    title="Peak position against α",
    studies=(*V2_STUDIES, "v2-speed-4.5", "v2-speed-30"),
    setting=(
        "The runs of v2 above, rescored; and the 8B model on azure-conv for readers of 4.5 and 30 tokens/s. The figure "
        "shows that workload."
    ),
    deviations=("as above; the paper's values of α other than 2.5 are not known to us",),
    read=read,
    draw=draw,
)
