"""The results page: claims on top, then every experiment with its figure, deviations and command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from experiments.paper.experiment import Experiment, Section, Table
from experiments.paper.finding import Outcome
from experiments.paper.panels import DPI
from experiments.paper.runs import Runs
from experiments.study import StudySpec
from experiments.style import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "RESULTS.md"
FIGURES = "figures"
_COLOURS = 64
"""Of a figure: enough for lines and text, and a file a third the size."""
_COLUMNS = ("claim", "paper", "verdict", "numbers")


def write_page(
    folder: Path, experiments: Sequence[Experiment], runs: Mapping[str, Runs], note: str = "", today: date | None = None
) -> None:
    """Write RESULTS.md and figures/NAME.png to `folder`, which is made if it is not there.

    runs: of every study of the experiments, by name. note: a sentence for the top, such as that the runs were cut
    short. today: the date that the page bears.
    """
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    sections = []
    for each in experiments:
        own = {name: runs[name] for name in each.studies}
        sections.append(each.read(own))
        _save(each, own, folder / FIGURES / f"{each.name}.png")
    (folder / PAGE).write_text(_text(experiments, runs, sections, note, today or date.today()), encoding="utf-8")


def _save(experiment: Experiment, runs: Mapping[str, Runs], path: Path) -> None:
    import matplotlib
    from PIL import Image

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE | {"savefig.dpi": DPI, "font.size": 9, "axes.titlesize": 10})):
        figure: Figure = experiment.draw(runs)
        figure.savefig(path)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _text(
    experiments: Sequence[Experiment], runs: Mapping[str, Runs], sections: Sequence[Section], note: str, today: date
) -> str:
    parts = [_head(sections, note, today), _claims(sections)]
    for each, section in zip(experiments, sections, strict=True):
        extent = _extent([runs[name].study for name in each.studies])
        parts.append(_section(each, section, extent))
    return "\n\n".join(parts) + "\n"


def _head(sections: Sequence[Section], note: str, today: date) -> str:
    verdicts = [finding.outcome for section in sections for finding in section.findings]
    counts = ", ".join(f"{verdicts.count(each)} {each}" for each in Outcome)
    text = f"""# The papers' evaluations, run again

Made on {today.isoformat()} by `python -m experiments.paper` (or `make paper`) from the studies in \
[studies/](studies); everything below, verdicts included, is computed from the runs.{note and f" {note}"}

Claims: {counts}. A claim is *reproduced* if every one of its checks holds, *partly* if some do, and \
*not reproduced* if none does, which includes that these runs cannot say. A check holds only where a paired 95 % \
interval over seeds decides it. All runs are simulated; no figure of a paper was available to compare values with, so \
shapes and factors are. ± is the half-width of a 95 % interval."""
    return text.rstrip()


def _claims(sections: Sequence[Section]) -> str:
    rows = [
        (finding.claim, finding.paper, f"**{finding.outcome}**", finding.numbers)
        for section in sections
        for finding in section.findings
    ]
    return _table(Table(_COLUMNS, tuple(rows)))


def _extent(studies: Sequence[StudySpec]) -> str:
    """How many seeds, and how long requests arrive, of each kind of study there is."""
    kinds = dict.fromkeys((len(each.seeds), each.window or 0.0, float(each.warmup or 0.0)) for each in studies)
    texts = [
        f"{seeds} seeds of {window:g} s of arrivals" + (f", the first {warmup:g} s of them warm-up" if warmup else "")
        for seeds, window, warmup in kinds
    ]
    return f"Runs: {'; '.join(texts)}."


def _section(experiment: Experiment, section: Section, extent: str) -> str:
    verdicts = "\n".join(f"- {f.claim}: **{f.outcome}**; {f.numbers}." for f in section.findings)
    parts = [
        f"## {experiment.title}",
        f"{experiment.setting} {extent}",
        f"![{experiment.title}]({FIGURES}/{experiment.name}.png)",
        section.text,
        verdicts,
        _table(section.table) if section.table else "",
        "Deviations from the paper:\n\n" + "\n".join(f"- {text}." for text in experiment.deviations),
        _commands(experiment),
    ]
    return "\n\n".join(part for part in parts if part)


def _commands(experiment: Experiment) -> str:
    links = ", ".join(f"[{name}](studies/{name}.yaml)" for name in experiment.studies)
    one = f"smoothserve compare experiments/paper/studies/{experiment.studies[0]}.yaml"
    return (
        f"Studies: {links}. This section: `python -m experiments.paper --only {experiment.name}`; one study: `{one}`."
    )


def _table(table: Table) -> str:
    return "\n".join(_line(cells) for cells in (table.head, ["---"] * len(table.head), *table.rows))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
