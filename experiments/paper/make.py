"""From experiments to their page: the studies they need, run or taken from the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.paper.experiment import Experiment
from experiments.paper.page import write_page
from experiments.paper.registry import HOME
from experiments.paper.store import runs_of
from experiments.study import StudySpec
from experiments.study_files import load_study

_QUICK_WINDOW, _QUICK_SEEDS = 30.0, (0, 1)
_QUICK_NOTE = "**Two seeds of half a minute each: this page shows that the machinery works, and nothing else.**"


def make_page(
    out: Path,
    experiments: Sequence[Experiment],
    store: Path,
    *,
    quick: bool = False,
    jobs: int | None = None,
    quiet: bool = False,
) -> None:
    """Run what the store does not hold, and write the page of these experiments to `out`.

    quick: every study is cut to two seeds and half a minute. jobs: worker processes; all cores if None.
    Raises ValueError or OSError of one line for a study that cannot run.
    """
    names = dict.fromkeys(name for each in experiments for name in each.studies)
    studies = {name: shortened(paper_study(name)) if quick else paper_study(name) for name in names}
    kept = {name for each in experiments if each.keeps_requests for name in each.studies}
    runs = runs_of(studies, store, with_requests=kept, jobs=jobs, quiet=quiet)
    write_page(out, experiments, runs, _QUICK_NOTE if quick else "")


def paper_study(name: str) -> StudySpec:
    """The study of that name in the folder `studies`."""
    return load_study(HOME / "studies" / f"{name}.yaml")


def shortened(study: StudySpec) -> StudySpec:
    """The study with two seeds and half a minute of arrivals, to see that everything runs."""
    return study.model_copy(update={"seeds": _QUICK_SEEDS, "window": _QUICK_WINDOW, "warmup": 0.0})
