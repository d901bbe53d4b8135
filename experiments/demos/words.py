"""What is said of a demonstration: each difference, the verdict, and the patience at which dropping stops paying."""

from __future__ import annotations

from math import isfinite

from experiments.demos.outcome import Finding, Outcome, PartOutcome
from experiments.demos.patience import break_even
from experiments.intervals import Interval
from experiments.numbers import number, with_half_width


def difference_words(finding: Finding) -> str:
    """The paired difference with its interval, for instance "+3.49 ±0.13"."""
    mean, half_width = (part * finding.measure.scale for part in finding.claim.difference)
    text = with_half_width(mean, half_width) if isfinite(half_width) else number(mean)
    return f"+{text}" if mean > 0 else text


def verdict(outcome: Outcome) -> str:
    """Whether the demonstration is reproduced, and where not, what the runs do not show."""
    if outcome.reproduced:
        return f"{outcome.demo.name}: reproduced. {outcome.demo.claim}"
    missing = "; ".join(
        f"at {part.part.where} the runs do not show that {finding.measure.words} {finding.expected}, which goes "
        f"{_from_to(finding)}"
        for part in outcome.parts
        for finding in part.findings
        if not finding.holds
    )
    return f"{outcome.demo.name}: not reproduced: {missing}. The claim was: {outcome.demo.claim}"


def notes(outcome: Outcome) -> list[str]:
    """What else is worth saying of each part: how patience changes what dropping gains."""
    return [_patience_note(part) for part in outcome.parts if part.curves]


def _patience_note(part: PartOutcome) -> str:
    total, own = break_even(part.curves)
    return (
        f"At {part.part.where}, dropping gains smooth goodput in all as long as the dropped are patient for "
        f"less than {_seconds(total)}, and for the dropped themselves {_own(own)}."
    )


def _own(own: Interval) -> str:
    return "never" if own.mean == 0.0 else f"for less than {_seconds(own)}"


def _seconds(value: Interval) -> str:
    mean, half_width = value
    return f"{with_half_width(mean, half_width) if isfinite(half_width) else number(mean)} s"


def _from_to(finding: Finding) -> str:
    scale, unit = finding.measure.scale, finding.measure.unit
    a, b = (number(value * scale) for value in (finding.claim.mean_a, finding.claim.mean_b))
    return f"from {b} to {a} {unit} ({difference_words(finding)})"
