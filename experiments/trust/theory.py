"""The theory page: every closed form that the engine can be set to, over a range of loads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from experiments.intervals import Interval
from experiments.numbers import number
from experiments.trust.markdown import table
from experiments.trust.queue import Queue, Shape
from experiments.trust.queues import ALL_SEATS, QUEUES, constant, proportional, roofline, smooth_roofline
from experiments.trust.theory_figure import save_figure
from experiments.trust.theory_points import ALTERED, Point, points, relative
from simulator.workload import FixedLengths

_FORMS = {
    ("M/D/1", "sojourn"): "s + ρ·s / (2(1 − ρ))",
    ("M/G/1", "sojourn"): "Pollaczek–Khinchine: s + λ·E[S²] / (2(1 − ρ))",
    ("M/G/1-PS", "sojourn"): "s / (1 − ρ)",
    ("M/G/infinity", "sojourn"): "s",
    ("limited PS", "sojourn"): "s / (1 − ρ), whatever the number of seats c",
    ("limited PS", "wait"): "ρ^c·s / (1 − ρ)",
    ("M/M/4", "sojourn"): "Erlang C",
    ("birth–death", "sojourn"): "p_n = p_(n−1)·λ/μ_n with μ_n = b/(τ(b)·E[L]), b = min(n, c); then Little's law",
}
_SHAPES: dict[Shape, str] = {
    constant: "1",
    proportional: "n",
    roofline: "max(1, n/4)",
    smooth_roofline: "√(15 + n²) / 4",
}
_YES = {True: "yes", False: "**no**"}
_QUICK_NOTE = "**A few hundred requests a run: this page shows that the machinery works, and nothing else.**"


def write_page(out: Path, *, quick: bool, jobs: int | None, quiet: bool) -> None:
    """Write THEORY.md and theory.png to the folder `out`.

    quick: a few hundred requests, to see that it works. jobs: worker processes; all cores if None.
    """
    found = points(quick=quick, jobs=jobs, quiet=quiet)
    save_figure(found, out / "theory.png")
    (out / "THEORY.md").write_text(page_text(found, _QUICK_NOTE if quick else "", date.today()), encoding="utf-8")


def page_text(found: Sequence[Point], note: str, today: date) -> str:
    """The page in Markdown; every number on it is computed from these points."""
    parts = [_head(found, note, today), _settings(), "![Theory and simulation](theory.png)", _results(found), _NOTES]
    return "\n\n".join(parts) + "\n"


def _head(found: Sequence[Point], note: str, today: date) -> str:
    agree = sum(point.agrees for point in found)
    noticed = sum(sum(point.noticed) for point in found)
    stepped = [point.steps_agree for point in found if point.steps_agree is not None]
    widest = {point.of: 0.0 for point in found}
    for point in found:
        widest[point.of] = max(widest[point.of], point.difference.half_width)
    widths = ", ".join(f"{100 * width:.1f} % of a mean {of}" for of, width in widest.items())
    return f"""# The engine against queueing theory

Made on {today.isoformat()} by `python -m experiments.trust theory`; every number below is computed \
from the runs.{f" {note}" if note else ""}

With Poisson arrivals, one-token prompts and no KV limit the engine is a queue with a closed form. Theory lies in \
{agree} of {len(found)} simulated 95 % intervals, allowance included, and the mean in steps in {sum(stepped)} of \
{len(stepped)} without any; one in twenty may miss by chance. A step time altered by 5 % is noticed in {noticed} of \
{len(ALTERED) * len(found)} cases. Half-widths are at most {widths}. The tests assert all of this at one \
load of each queue (`pytest tests/test_queueing.py`)."""


def _settings() -> str:
    head = ("queue", "closed form of the mean", "policy", "seats c", "step time of n", "output tokens", "allowance")
    rows = [
        (
            name if of == "sojourn" else f"{name}, wait",
            _FORMS[name, of],
            queue.policy.partition(":")[0],
            "all" if queue.limits is ALL_SEATS else str(queue.limits.max_num_seqs),
            _SHAPES[queue.shape],
            _lengths(queue),
            number(queue.allowance, 2),
        )
        for name, queue in QUEUES.items()
        for of in queue.closed_forms
    ]
    words = """s: service time of a request that is alone; S, L: service time and output tokens; λ: arrival rate; ρ: \
load. Chunked prefill has no token budget here, so it prefills with the decodes. The step time is in steps of one \
request, and so is the allowance: theory may lie below the interval by that much, since in the engine an arrival waits \
for the end of the step under way."""
    return f"## Settings\n\n{words}\n\n{table(head, rows)}"


def _lengths(queue: Queue) -> str:
    kind = "all" if isinstance(queue.lengths, FixedLengths) else "geometric, mean"
    return f"{kind} {queue.mean_output:g}"


def _results(found: Sequence[Point]) -> str:
    head = (
        "queue",
        "load",
        "theory",
        "simulated",
        "difference",
        "agrees",
        "in steps",
        "simulated, by delays",
        "agrees",
        *(f"step time {_percent(factor - 1, 0)}" for factor in ALTERED),
    )
    rows = [
        (
            point.queue if point.of == "sojourn" else f"{point.queue}, wait",
            number(point.load),
            f"{point.theory:.4f}",
            _spelt(point.simulated),
            _difference(point.difference),
            _YES[point.agrees],
            *(("–", "–") if point.in_steps is None else (f"{point.in_steps:.4f}", _spelt(point.by_delays))),
            "–" if point.steps_agree is None else _YES[point.steps_agree],
            *(_altered(point, k) for k in range(len(ALTERED))),
        )
        for point in found
    ]
    return f"""## Results

Means are in mean service times, ± is the half-width of the 95 % interval over seeds. *In steps* is the exact mean of \
the engine's own Markov chain, in which all changes wait for the end of a step: it needs no allowance. It is compared \
with the mean delay (the sojourn less what the same request takes alone) plus the mean service time, which does not \
depend on the lengths that were drawn. Below each altered step time: the difference from the unaltered theory, and \
whether it is noticed. Queues, loads and altered step times share their random numbers, so misses come together.

{table(head, rows)}"""


def _altered(point: Point, k: int) -> str:
    difference = relative(point.altered[k], point.theory)
    return f"{_percent(difference.mean)}, {'noticed' if point.noticed[k] else '**not noticed**'}"


def _spelt(mean: Interval) -> str:
    return f"{mean.mean:.4f} ±{mean.half_width:.4f}"


def _difference(share: Interval) -> str:
    return f"{_percent(share.mean)} ±{100 * share.half_width:.1f} %"


def _percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:+.{decimals}f} %".replace("-", "−")


_NOTES = """## What this shows, and what not

Arrivals, admission, seats, batches, step times and completions of the engine give the means that they should. It \
shows nothing of prompts longer than a token, the KV cache, preemption or any latency model: those are compared with a \
second implementation (`pytest tests/test_naive_schedulers.py`). Nor of the order of service, on which no mean here \
depends: that comparison sees it too."""
