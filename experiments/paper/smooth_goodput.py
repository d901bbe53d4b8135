"""Smooth goodput against the rate, prefill-first against chunked prefill (arXiv 2410.14257, v1 and v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from experiments.claims import compare_pairs
from experiments.intervals import Interval, interval, paired_difference
from experiments.numbers import number
from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Finding, count, exists, outcome
from experiments.paper.panels import panels
from experiments.paper.peaks import SPAN, WINDOW, idle_dominates, peak, settings
from experiments.paper.runs import Runs
from experiments.paper.words import FCFS, chunk_words, policy_words, setting_words, spell
from experiments.plots import plot_score_by_rate
from experiments.verdict import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE = Score(SPAN, "smooth goodput", "tokens/s")
_NEGLIGIBLE = 0.01

V2_STUDIES = tuple(
    f"v2-{model}-{lengths}"
    for model in ("llama-3-8b", "qwen2.5-14b")
    for lengths in ("sharegpt", "azure-conv", "arxiv-summarization")
)
V1_STUDIES = ("v1-qwen2-7b-sharegpt", "v1-qwen2-7b-sharegpt-multiturn")


class _Gap(NamedTuple):
    """Where one policy is furthest below another: at which rate, and by how much, in tokens/s."""

    where: str
    share: float
    difference: Interval
    certain: bool


def rises_and_falls(runs: Sequence[Runs], paper: str) -> Finding:
    """Smooth goodput rises with the rate, peaks, and falls as waiting outweighs the tokens."""
    pairs = settings(runs)
    found = [peak(each, policy) for each, policy in pairs]
    shaped = [
        p.rises and p.falls and idle_dominates(each, policy) for p, (each, policy) in zip(found, pairs, strict=True)
    ]
    by_window = [p.rises and p.falls for each, policy in pairs for p in [peak(each, policy, WINDOW)]]
    moderate = [p.stable for p in found]
    numbers = (
        f"rises, then falls with waiting as the larger part of the fall, in {count(shaped)} (setting, policy) pairs "
        f"with T the span ({count(by_window)} rise and fall with T the arrival window); the policy is still stable "
        f"at the peak in {count(moderate)}"
    )
    return Finding(
        "smooth goodput rises with load, peaks at a moderate rate, then falls as idle time dominates",
        paper,
        outcome([*shaped, *moderate]),
        numbers,
    )


def chunked_peaks_later(runs: Sequence[Runs], paper: str) -> Finding:
    """Chunked prefill moves the peak to a higher rate, by chunk size."""
    checks, texts = [], []
    for policy in _chunked(runs[0]):
        claims = [compare_pairs(peak(r, policy).rates.tolist(), peak(r, FCFS).rates.tolist()) for r in runs]
        held = [claim.improves for claim in claims]
        checks += held
        shifts = [claim.mean_a / claim.mean_b - 1 for claim in claims]
        texts.append(
            f"{chunk_words(policy)}: in {count(held)} settings (lower in {sum(c.worsens for c in claims)}), "
            f"by {min(shifts):+.0%} to {max(shifts):+.0%} of fcfs's peak rate"
        )
    return Finding("chunked prefill moves the peak to a higher rate", paper, outcome(checks), "; ".join(texts))


def chunked_does_not_always_help(runs: Sequence[Runs], paper: str) -> Finding:
    """There are stable rates at which chunked prefill lowers smooth goodput by more than 1 %, family-wise at 95 %."""
    gaps = [_worst_gap(each, policy) for each in runs for policy in _chunked(each)]
    worst = min(gaps, key=lambda gap: gap.share)
    numbers = (
        f"lower by more than 1 % at some rate at which fcfs is stable in {count([g.certain for g in gaps])} "
        f"(setting, chunk size) pairs; most at {worst.where}: {worst.share:+.1%} "
        f"({spell(worst.difference)} tokens/s)"
    )
    return Finding("chunked prefill does not always help", paper, exists([gap.certain for gap in gaps]), numbers)


def no_faster_decodes(runs: Sequence[Runs], paper: str) -> Finding:
    """Chunked prefill does not shorten the time from a request's token to its next: by median gap, and by TPOT."""
    checks, texts = [], []
    for key, words in (("tbt_p50", "median gap"), ("tpot_mean", "mean TPOT")):
        held, ratios = [], []
        for each in runs:
            rate = each.stable_rates()[-1]
            for policy in _chunked(each):
                a, b = each.samples(policy, rate, key).tolist(), each.samples(FCFS, rate, key).tolist()
                claim = compare_pairs(a, b, higher_is_better=False)
                held.append(claim.does_not_improve)
                ratios.append(claim.mean_a / claim.mean_b - 1)
        checks += held
        texts.append(f"{words} no shorter in {count(held)} pairs ({min(ratios):+.0%} to {max(ratios):+.0%})")
    numbers = f"at the highest rate at which all are stable: {'; '.join(texts)}"
    return Finding("chunked prefill does not speed up a request's own decodes", paper, outcome(checks), numbers)


def read_v2(runs: Mapping[str, Runs]) -> Section:
    """The findings about v2's settings."""
    every, paper = [*runs.values()], "2410.14257 v2"
    findings = (
        rises_and_falls(every, paper),
        chunked_does_not_always_help(every, paper),
        chunked_peaks_later(every, paper),
        no_faster_decodes(every, paper),
    )
    text = (
        f"{_words(every)} Chunked prefill delays first tokens and evens out the gaps between later ones; from "
        "submission, with readers of 5 tokens/s, only the delay counts until the server is full."
    )
    return Section(findings, text, _peak_table(every))


def read_v1(runs: Mapping[str, Runs]) -> Section:
    """The findings about v1's settings."""
    every, paper = [*runs.values()], "2410.14257 v1"
    findings = (
        rises_and_falls(every, paper),
        chunked_does_not_always_help(every, paper),
        no_faster_decodes(every, paper),
    )
    text = (
        f"{_words(every)} With deadlines from the first token the time in the queue costs nothing, so an overload is "
        "hardly punished: the curve levels off where the tokens do."
    )
    return Section(findings, text, _peak_table(every))


def draw(runs: Mapping[str, Runs]) -> Figure:
    """A panel per study."""
    figure, axes = panels(len(runs), across=min(3, len(runs)))
    for ax, (name, each) in zip(axes, runs.items(), strict=True):
        plot_score_by_rate(ax, each.table, _SCORE).set_title(setting_words(name), pad=16)
        ax.set_ylabel("smooth goodput (tokens/s)")
    handles, _ = axes[0].get_legend_handles_labels()
    names = [policy_words(policy) for policy in next(iter(runs.values())).policies]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _words(runs: Sequence[Runs]) -> str:
    gains = []
    for each in runs:
        best = max(each.policies, key=lambda policy: peak(each, policy).value)
        gain = peak(each, best).value / peak(each, FCFS).value - 1
        gains.append((gain, f"{setting_words(each.study.name)}, {policy_words(best)}"))
    gain, where = max(gains)
    shares = [100 * peak(each, p).at / each.stable_rates([p])[-1] for each, p in settings(runs)]
    return (
        f"The measured rate with the highest mean lies at {min(shares):.0f} to {max(shares):.0f} % of the highest "
        f"measured rate at which the policy is stable. Well below it the policies cannot be told apart, since readers "
        f"take in tokens more slowly than any policy makes them. The best policy's peak is at most {gain:.1%} above "
        f"that of fcfs ({where})."
    )


def _peak_table(runs: Sequence[Runs]) -> Table:
    rows = []
    for each, policy in settings(runs):
        found = peak(each, policy)
        shift = paired_difference(found.rates, peak(each, FCFS).rates)
        rows.append(
            (
                setting_words(each.study.name),
                policy_words(policy),
                spell(found.rate),
                "" if policy == FCFS else spell(shift),
                spell(interval(each.samples(policy, found.at, SPAN))),
                number(each.stable_rates([policy])[-1]),
            )
        )
    head = ("setting", "policy", "peak, req/s", "less fcfs's", "tokens/s there", "last stable rate")
    return Table(head, tuple(rows))


def _worst_gap(runs: Runs, policy: str) -> _Gap:
    rates = runs.stable_rates([FCFS])
    gaps = []
    for rate in rates:
        a, b = runs.samples(policy, rate, SPAN), runs.samples(FCFS, rate, SPAN)
        difference = paired_difference(a, b, confidence=1 - 0.05 / len(rates))
        share = difference.mean / abs(float(b.mean()))
        certain = difference.mean + difference.half_width < -_NEGLIGIBLE * abs(float(b.mean()))
        where = f"{setting_words(runs.study.name)}, {chunk_words(policy)}, {number(rate)} req/s"
        gaps.append(_Gap(where, share, difference, certain))
    return min(gaps, key=lambda gap: (not gap.certain, gap.share))


def _chunked(runs: Runs) -> list[str]:
    return [policy for policy in runs.policies if policy != FCFS]


V2 = Experiment(
    name="smooth-goodput-v2",
    title="Smooth goodput against the rate, v2",
    studies=V2_STUDIES,
    setting=(
        "LLaMA-3.1-8B (the Llama-3-8B profile) and Qwen2.5-14B on one A100-80GB with vLLM's overhead of 2024; Poisson "
        "arrivals; readers of 5 tokens/s, α = 2.5, deadlines from submission."
    ),
    deviations=(
        "simulated, on latency models: the 8B profile is composed from measured operators, the 14B one is `estimated` "
        "from data sheets",
        "LooGLE is replaced by arxiv-summarization, and the real trace by the lengths of Azure's conversations with "
        "Poisson arrivals",
        "the chunk size is not known: 512 and 2048 tokens are both shown",
        "T is the span of the run, as in the paper; it depends on the policy, so the arrival window is counted too",
    ),
    read=read_v2,
    draw=draw,
)
V1 = Experiment(
    name="smooth-goodput-v1",
    title="Smooth goodput against the rate, v1",
    studies=V1_STUDIES,
    setting=(
        "Qwen2-7B on one A100-40GB with vLLM's overhead of 2024; Poisson arrivals; readers of 20 tokens/s, α = 2.5, "
        "deadlines from the first token."
    ),
    deviations=(
        "the A100-40GB profile is derived from that of the A100-80GB by its memory bandwidth; vLLM 0.5.3 is fcfs "
        "with the `vllm-2024` overhead, and chunked prefill of 512 tokens, its default",
        "concatenated conversations of about 1600 tokens are ShareGPT's conversations with their earlier turns in "
        "the prompt, which are longer (mean 2340 + 439 tokens)",
        "α of v1 is not known to us: v2's is used",
    ),
    read=read_v1,
    draw=draw,
)
