"""The report page of what `smoothserve compare` left in its output folder."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from experiments.report import headline
from experiments.report_page.page import Document, Page
from experiments.report_page.pictures import read_picture
from experiments.report_page.provenance import Provenance, needs
from experiments.report_page.study_section import study_section
from experiments.report_page.terms import terms
from experiments.saved_results import read_results


def page(folder: Path, provenance: Provenance) -> Page:
    """The page. Raises ValueError or OSError of one line that names the file which is not as it should be."""
    study, table = read_results(folder)
    pictures = [read_picture(folder / "figures" / f"{name}.png") for name in ("goodput", "latencies")]
    section = study_section("Results", study, table, *pictures)
    return Page(
        made_by=provenance.made_by,
        title=study.name,
        subtitle=headline(study).removeprefix(f"{study.name}: "),
        sections=(section,),
        terms=terms(section.tables),
        documents=(Document("study.yaml", (folder / "study.yaml").read_text(encoding="utf-8")),),
        facts=provenance.facts,
        needs=needs(study),
        commands=(
            "smoothserve compare study.yaml --out again",
            f"diff -r --exclude=meta.json {quote(folder.resolve().name)} again",
        ),
        promise="With the versions below, the second command finds no difference.",
    )
