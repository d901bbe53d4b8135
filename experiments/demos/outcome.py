"""What came out of a demonstration: every paired difference, and whether all that is claimed holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.claims import Claim, compare_pairs
from experiments.demos.demonstration import Demonstration, Expected, Part
from experiments.demos.measures import Measure
from experiments.demos.pairs import Values, both, run_pair
from experiments.demos.patience import PatienceCurve, patience_curve
from experiments.study import StudySpec
from simulator.token_log import Floats


class Finding(NamedTuple):
    """What is claimed of one measure, and what the runs say. a: the treated runs, b: the others, (num_pairs,)."""

    measure: Measure
    expected: Expected
    a: Floats
    b: Floats
    claim: Claim

    @property
    def holds(self) -> bool:
        """Whether the paired interval bears the claim out."""
        return bool(getattr(self.claim, self.expected.replace(" ", "_")))


class PartOutcome(NamedTuple):
    """A part of a demonstration, the study that was run, its findings, and how patience changes them."""

    part: Part
    study: StudySpec
    findings: tuple[Finding, ...]
    curves: tuple[PatienceCurve, ...]


class Outcome(NamedTuple):
    """A demonstration and what came out of each part."""

    demo: Demonstration
    parts: tuple[PartOutcome, ...]

    @property
    def reproduced(self) -> bool:
        """Whether every claim of every part holds."""
        return all(finding.holds for part in self.parts for finding in part.findings)


class Sample(NamedTuple):
    """What is kept of a pair of runs."""

    values: dict[str, Values]
    curve: PatienceCurve | None


def demonstrate(
    demo: Demonstration,
    seeds: int = 10,
    *,
    window: float | None = None,
    jobs: int | None = None,
    on_pair: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run every part of `demo` with `seeds` pairs of runs that share their random numbers.

    window: seconds of arrivals, if not the demonstration's own. jobs: worker processes; none if not given, as a
    pair takes a fraction of a second. on_pair: called when a pair is done.
    """
    return Outcome(demo, tuple(_run(part, part.study(seeds, window), jobs or 1, on_pair) for part in demo.parts))


def findings(samples: Sequence[Mapping[str, Values]], expected: Mapping[Measure, Expected]) -> tuple[Finding, ...]:
    """The findings of these pairs of runs: a mapping from the name of a measure to its two values for each."""
    found = []
    for measure, claimed in expected.items():
        a, b = both([sample[measure.name] for sample in samples])
        claim = compare_pairs(a.tolist(), b.tolist(), higher_is_better=measure.higher_is_better)
        found.append(Finding(measure, claimed, a, b, claim))
    return tuple(found)


def _run(part: Part, study: StudySpec, jobs: int, on_pair: Callable[[], None]) -> PartOutcome:
    samples = []
    if jobs == 1:
        for seed in study.seeds:
            samples.append(measure_pair(part, study, seed))
            on_pair()
    else:
        from joblib import Parallel, delayed

        with Parallel(n_jobs=jobs, return_as="generator") as parallel:
            for sample in parallel(delayed(measure_pair)(part, study, seed) for seed in study.seeds):
                samples.append(sample)
                on_pair()
    curves = tuple(sample.curve for sample in samples if sample.curve is not None)
    return PartOutcome(part, study, findings([sample.values for sample in samples], part.expected), curves)


def measure_pair(part: Part, study: StudySpec, seed: int) -> Sample:
    """Both runs of one seed, measured."""
    pair = run_pair(study, study.rates[0], seed)
    curve = None if part.longest_patience is None else patience_curve(pair, part.longest_patience)
    return Sample({measure.name: measure.values(pair) for measure in part.expected}, curve)
