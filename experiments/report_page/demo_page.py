"""The report page of a demonstration: what `smoothserve demo` left in a folder of its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.demos.demonstration import Demonstration, Part
from experiments.demos.outcome import Finding, findings
from experiments.demos.registry import demos
from experiments.demos.words import difference_words
from experiments.numbers import number
from experiments.report_page.page import Document, Line, Page, PageFigure, PageTable, Section
from experiments.report_page.pictures import read_picture
from experiments.report_page.provenance import Provenance
from experiments.saved_results import read_table
from experiments.study_files import load_study

_CAPTIONS = {
    "hand.png": "Answers made by hand: what is generated, delivered and read, with and without the treatment.",
    "runs.png": (
        "Runs under load. Each thin line is a pair of runs that share their random numbers, the thick one their mean: "
        "blue if the treatment improves the measure, red if it worsens it, grey if neither is shown."
    ),
    "patience.png": "What dropping gains, against how long a dropped user would have waited.",
}


def page(folder: Path, provenance: Provenance) -> Page:
    """The page. Raises ValueError or OSError of one line that names the file which is not as it should be."""
    demo = demos(provenance.demo)[0]
    verdict, *notes = (folder / "verdict.txt").read_text(encoding="utf-8").splitlines() or [""]
    tables = tuple(_tables(folder, demo))
    num_pairs = len(load_study(folder / f"{demo.parts[0].name}.yaml").seeds)
    return Page(
        made_by=provenance.made_by,
        title=demo.title,
        subtitle=f"Demonstration {demo.name}: at {' and at '.join(part.where for part in demo.parts)}",
        sections=(Section("Results", verdict, tuple(_figures(folder)), tables, tuple(notes)),),
        terms=(),
        documents=tuple(_document(folder / f"{part.name}.yaml") for part in demo.parts),
        facts=provenance.facts,
        needs=(),
        commands=(
            f"smoothserve demo {demo.name} --seeds {num_pairs}",
            *(f"smoothserve compare {part.name}.yaml --out {part.name}" for part in demo.parts),
        ),
        promise="The first command makes everything again, the others only run the studies behind it.",
    )


def _figures(folder: Path) -> Iterator[PageFigure]:
    for name, caption in _CAPTIONS.items():
        if name != "patience.png" or (folder / name).exists():
            yield PageFigure(*read_picture(folder / name), caption.partition(".")[0], caption)


def _tables(folder: Path, demo: Demonstration) -> Iterator[PageTable]:
    path = folder / "runs.parquet"
    runs = read_table(path, ["part", "metric", "seed", "a", "b"])
    for part in demo.parts:
        own = dict(iter(runs[runs["part"] == part.name].groupby("metric")))
        missing = [measure.name for measure in part.expected if measure.name not in own]
        if missing:
            raise ValueError(f"{path}: part {part.name} has no {missing[0]}")
        values = {name: list(zip(group["a"], group["b"], strict=True)) for name, group in own.items()}
        num_pairs = min(len(pairs) for pairs in values.values())
        samples = [{str(name): pairs[i] for name, pairs in values.items()} for i in range(num_pairs)]
        yield _table(part, findings(samples, part.expected), num_pairs)


def _table(part: Part, found: tuple[Finding, ...], num_pairs: int) -> PageTable:
    heads = ("measure", *part.labels, "difference", "unit", "claimed", "holds")
    return PageTable(
        f"{part.where}; {num_pairs} paired runs",
        heads,
        tuple(head not in (*part.labels, "difference") for head in heads),
        tuple(Line(_cells(finding)) for finding in found),
    )


def _cells(finding: Finding) -> tuple[str, ...]:
    measure = finding.measure
    b, a = (number(value * measure.scale) for value in (finding.claim.mean_b, finding.claim.mean_a))
    holds = "yes" if finding.holds else "no"
    return measure.words, b, a, difference_words(finding), measure.unit, finding.expected, holds


def _document(path: Path) -> Document:
    return Document(path.name, path.read_text(encoding="utf-8"))
