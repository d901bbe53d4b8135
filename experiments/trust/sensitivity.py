"""The sensitivity page: which conclusions stay when the model is moved within its errors and its assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from experiments.labels import short_names
from experiments.paper.best import best_set
from experiments.paper.ranking import METRICS
from experiments.paper.runs import Runs
from experiments.paper.words import spell
from experiments.trust.markdown import table
from experiments.trust.sensitivity_changes import ERROR
from experiments.trust.sensitivity_conclusions import CONCLUSIONS, MIXED, Conclusion, Verdict
from experiments.trust.sensitivity_figure import save_figures
from experiments.trust.sensitivity_runs import Sensitivity, run_all
from experiments.trust.sensitivity_winners import Cell, Winner, cells
from hardware_profiles import load_profile

KEPT = Path("results/trust")
"""Where runs are kept, in `store`, and changed profiles, in `profiles`."""
_QUICK_NOTE = (
    "**Two seeds of half a minute and few changes: this page shows that the machinery works, and nothing else.**"
)


def write_page(out: Path, *, quick: bool, jobs: int | None, quiet: bool, kept: Path = KEPT) -> None:
    """Write SENSITIVITY.md, sensitivity.png and sensitivity_differences.png to the folder `out`.

    quick: two seeds of half a minute and every sixth change. jobs: worker processes; all cores if None. kept: the
    folder of runs, of which only those that are missing are simulated.
    """
    found = run_all(kept, quick=quick, jobs=jobs, quiet=quiet)
    save_figures(found, out)
    (out / "SENSITIVITY.md").write_text(page_text(found, _QUICK_NOTE if quick else "", date.today()), encoding="utf-8")


def page_text(found: Sensitivity, note: str, today: date) -> str:
    """The page in Markdown; every verdict on it is computed from these runs."""
    parts = [
        _head(found, note, today),
        _conclusions(found),
        "![Differences after each change](sensitivity_differences.png)",
        _winners(found),
        _changes(found),
        _extent(found),
    ]
    return "\n\n".join(parts) + "\n"


def _head(found: Sensitivity, note: str, today: date) -> str:
    held = [conclusion for conclusion in CONCLUSIONS if conclusion.verdict(found.base) is Verdict.HOLDS]
    robust = sum(not _moved(found, conclusion) for conclusion in held)
    against = [words for c in held for words, verdict in _moved(found, c) if verdict is Verdict.CONTRARY]
    contradicted = sum(any(v is Verdict.CONTRARY for _, v in _moved(found, c)) for c in held)
    which = f", under {', '.join(dict.fromkeys(against))}" if against else ""
    text = f"""# What the errors of the model change

Made on {today.isoformat()} by `python -m experiments.trust sensitivity`; every verdict below is computed from the \
runs. {note}

One thing is changed at a time, {len(found.changes)} changes in all. Of {len(held)} conclusions that the base allows, \
{robust} hold under every change. {contradicted} are contradicted by some change{which}; the others are left open by \
some. Which policies are the best is less certain where the server is full than at a moderate rate (the map below)."""
    return text.rstrip()


def _conclusions(found: Sensitivity) -> str:
    head = ("conclusion", "metric", "base: A − B", "in the base", "holds under", "verdict")
    rows = []
    for conclusion in CONCLUSIONS:
        verdicts = [conclusion.verdict(runs) for _, runs in found.changes]
        where = f"{conclusion.words} ({conclusion.rate:g} req/s)"
        unit = f" {conclusion.metric.unit}" if conclusion.metric.unit else ""
        holds = f"{verdicts.count(Verdict.HOLDS)} of {len(verdicts)}"
        difference = _minus(spell(conclusion.claim(found.base).difference)) + unit
        rows.append(
            (
                where,
                conclusion.metric.words,
                difference,
                conclusion.verdict(found.base),
                holds,
                _said(found, conclusion),
            )
        )
    return f"""## Conclusions

A − B is the paired difference of the two policies, ± the half-width of its 95 % interval over seeds. A conclusion \
*holds* if the interval allows it, with 1 % as the least gain that counts; it is *open* where the runs cannot say, and \
*contrary* where they say that a claimed gain is none, or that there is one where none was claimed.

{table(head, rows)}"""


def _said(found: Sensitivity, conclusion: Conclusion) -> str:
    moved = _moved(found, conclusion)
    if not moved:
        return "**robust**"
    parts = [
        f"{verdict}: {', '.join(words)}"
        for verdict in (Verdict.CONTRARY, Verdict.OPEN)
        if (words := [words for words, found_verdict in moved if found_verdict is verdict])
    ]
    return f"moves; {'; '.join(parts)}"


def _moved(found: Sensitivity, conclusion: Conclusion) -> list[tuple[str, Verdict]]:
    """The changes under which a conclusion does not hold."""
    verdicts = [(change.words, conclusion.verdict(runs)) for change, runs in found.changes]
    return [(words, verdict) for words, verdict in verdicts if verdict is not Verdict.HOLDS]


def _winners(found: Sensitivity) -> str:
    base = found.base[MIXED]
    head = (
        "metric",
        "req/s",
        "best in the base",
        "the same",
        "some the same",
        "none the same",
        "order: mean",
        "least",
        "at",
    )
    rows = []
    for rate in base.rates:
        matrix = cells(found, rate)
        for j, metric in enumerate(METRICS):
            column = [row[j] for row in matrix]
            least = min(range(len(column)), key=lambda i: column[i].agreement)
            counts = [str(sum(cell.winner is winner for cell in column)) for winner in Winner]
            best = _listed(base, best_set(base, rate, metric))
            mean, worst = sum(cell.agreement for cell in column) / len(column), column[least].agreement
            at = found.changes[least][0].words if worst < 1 else "–"
            rows.append((metric.words, f"{rate:g}", best, *counts, f"{mean:.2f}", _minus(f"{worst:.2f}"), at))
    return f"""## Winners

![Winners after each change](sensitivity.png)

The policies that may be the best (paired runs, Bonferroni over policies) of {len(base.policies)}, and in how many of \
the {len(found.changes)} changes they are the same. A number in the map and *order*: Kendall's concordance with the \
base over the pairs of policies that the base tells apart, 1 in the same order, −1 reversed; a pair that ties after \
the change counts 0. {_by_factor(found)}

{table(head, rows)}"""


def _by_factor(found: Sensitivity) -> str:
    moves: dict[str, list[Cell]] = {}
    for i, (change, _) in enumerate(found.changes):
        for rate in found.base[MIXED].rates:
            moves.setdefault(change.words, []).extend(cells(found, rate)[i])
    counts = {words: sum(cell.winner is Winner.OTHER for cell in row) for words, row in moves.items()}
    worst = [f"{words} ({count})" for words, count in sorted(counts.items(), key=lambda each: -each[1]) if count]
    total = sum(len(row) for row in moves.values())
    other = sum(counts.values())
    where = f" They come of {', '.join(worst)}." if worst else ""
    return f"In {other} of {total} cells no best policy of the base is still among the best.{where}"


def _changes(found: Sensitivity) -> str:
    profile = load_profile(found.base[MIXED].study.profile)
    errors = profile.errors
    held_out = (
        f"{errors.overall:.1f} % on average and {errors.p95:.1f} % at the 95th percentile" if errors else "unknown"
    )
    return f"""## The changes

- *t0* to *a*: a coefficient of the latency model times {1 - ERROR:g} and {1 + ERROR:g}. The profile is off {held_out} \
on iterations that its fit did not see, and with its preset off whole batches by [what the validation page \
says](VALIDATION.md), so {100 * ERROR:g} % of one coefficient is more than its error as a whole. *all times*: every \
coefficient but the ridge and m at once, the overhead too: a device that much faster or slower.
- *kp = k*: chunks re-read the cache of earlier ones as decodes do; the fit has 0, not identified by the rows.
- *m*: extra cost of reading the cache in an iteration that also prefills; 0 is an assumption for this device, 0.6 to \
2.1 was measured on others.
- *overhead*: none, and twice that of the preset.
- *block size*: 16 tokens in the base.
- *prediction sigma*: lognormal error of the output lengths that policies see; 0.5 in the base. Of these policies \
`sjf_predicted` alone uses them, so it shows whether its place depends on them."""


def _extent(found: Sensitivity) -> str:
    lines = []
    for name, runs in found.base.items():
        study = runs.study
        rates = " and ".join(f"{rate:g}" for rate in runs.rates)
        unstable = ", ".join(f"{_listed(runs, (row.policy,))} at {row.rate:g}" for row in runs.table if row.unstable)
        lines.append(
            f"- [{name}](sensitivity_{name}.yaml): {len(runs.policies)} policies at {rates} requests/s, "
            f"{len(study.seeds)} seeds of {study.window:g} s on {study.profile}"
            + (f"; the queue grows for as long as requests arrive under {unstable}" if unstable else "")
            + "."
        )
    return "\n".join(
        [
            "## The base\n",
            *lines,
            "",
            "The same workloads are run after each change, so what moves is the change and not the noise. Interactions "
            "of changes are not looked at, nor other devices, models or traffic: a conclusion that is robust here is "
            "robust about this deployment. Where queues grow, every figure depends on the window. One study: "
            f"`smoothserve compare experiments/trust/sensitivity_{MIXED}.yaml`; with a changed profile: "
            f"`--profile {KEPT}/profiles/NAME.yaml`.",
        ]
    )


def _listed(runs: Runs, policies: Sequence[str], most: int = 3) -> str:
    names = short_names(runs.policies)
    if len(policies) == len(runs.policies):
        return "all tie"
    return ", ".join(names[policy] for policy in policies) if len(policies) <= most else f"a tie of {len(policies)}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
