"""The report page of the store of `smoothserve sweep`: a section for each study of the grid."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.aggregate import Row
from experiments.figures import goodput_figure
from experiments.report_page.page import Document, Page, Section
from experiments.report_page.pictures import drawn_picture
from experiments.report_page.provenance import Provenance, needs
from experiments.report_page.study_section import study_section
from experiments.report_page.terms import terms
from experiments.saved_results import SavedTables
from experiments.sweep.grid import GridSpec, Member, load_grid


def page(folder: Path, provenance: Provenance) -> Page:
    """The page. Raises ValueError or OSError of one line that names the file which is not as it should be."""
    grid = load_grid(folder / "sweep.yaml")
    tables = SavedTables(folder, runs="table.parquet")
    sections = []
    for member in grid.studies():
        labels = {"workload": member.workload, "profile": member.profile}
        sections.append(_section(member, tables.rows(member.study, labels), _failures(folder, labels)))
    return Page(
        made_by=provenance.made_by,
        title=grid.name,
        subtitle=_subtitle(grid),
        sections=tuple(sections),
        terms=terms(table for section in sections for table in section.tables),
        documents=(Document("sweep.yaml", (folder / "sweep.yaml").read_text(encoding="utf-8")),),
        facts=provenance.facts,
        needs=tuple(dict.fromkeys(need for study in grid.members for need in needs(study))),
        commands=("smoothserve sweep sweep.yaml --out again",),
        promise="With the versions below, its table.parquet has the same bytes.",
    )


def _subtitle(grid: GridSpec) -> str:
    study = grid.members[0]
    parts = [f"workloads {', '.join(grid.workloads)}", f"profiles {', '.join(grid.profiles)}"]
    parts += [f"policies {', '.join(study.policies)}", f"SLO {study.slo.spell()} ms" if study.slo else ""]
    return "; ".join(filter(None, parts))


def _section(member: Member, table: list[Row], failures: dict[tuple[str, float | None, int], str]) -> Section:
    title = f"{member.workload}, {member.profile}"
    if not table:
        return Section(title, "No cell of it has a result.", (), (), tuple(failures.values()))
    section = study_section(title, member.study, table, drawn_picture(lambda: goodput_figure(table)))
    done = {(run.cell.policy, run.cell.rate, run.cell.seed) for row in table for run in row.runs}
    failed = tuple(text for cell, text in failures.items() if cell not in done)
    return section._replace(notes=(*section.notes, *failed))


def _failures(folder: Path, labels: dict[str, str]) -> dict[tuple[str, float | None, int], str]:
    """Why cells of a study have no result, by policy, rate and seed."""
    failures = {}
    for path in sorted((folder / "failed").glob("*.json")):
        try:
            failed = json.loads(path.read_text(encoding="utf-8"))
            cell = failed["policy"], failed["rate"], failed["seed"]
            where = f"{failed['policy']} at {failed['rate']} req/s, seed {failed['seed']}"
            if all(failed[name] == value for name, value in labels.items()):
                failures[cell] = f"Failed: {where}: {failed['error']}: {failed['message']}"
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: does not say why a cell failed: {error!r}") from None
    return failures
