"""What a report page holds, whatever folder it is of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from experiments.style import PolicyStyle

if TYPE_CHECKING:
    from rich.table import Table


class Line(NamedTuple):
    """A line of a table: its cells as text, and the look of its policy in figures."""

    cells: tuple[str, ...]
    look: PolicyStyle | None = None
    unstable: bool = False
    ends_section: bool = False


class PageTable(NamedTuple):
    """A table. heads: of each column, in lines, a unit last; labels: whether a column holds names and not numbers."""

    caption: str
    heads: tuple[str, ...]
    labels: tuple[bool, ...]
    lines: tuple[Line, ...]

    @property
    def with_interval(self) -> list[bool]:
        """Whether a column has an interval in any line."""
        columns = range(len(self.heads))
        return [not self.labels[i] and any(" ±" in line.cells[i] for line in self.lines) for i in columns]

    @property
    def sections(self) -> list[list[Line]]:
        """The lines, cut behind those that end a section."""
        cuts = [i for i, line in enumerate(self.lines, start=1) if line.ends_section and i < len(self.lines)]
        return [list(self.lines[a:b]) for a, b in pairwise([0, *cuts, len(self.lines)])]


class PageFigure(NamedTuple):
    """A picture as a data URI, its size in CSS pixels, what is drawn and what is to be seen in it."""

    source: str
    width: int
    height: int
    alt: str
    caption: str


class Document(NamedTuple):
    """A text file that the page holds whole."""

    name: str
    text: str


class Section(NamedTuple):
    """What there is to say of one study: the verdict in words, figures, tables and what to know about them."""

    title: str
    verdict: str
    figures: tuple[PageFigure, ...]
    tables: tuple[PageTable, ...]
    notes: tuple[str, ...]

    @property
    def has_unstable(self) -> bool:
        """Whether any line of a table is of unstable runs."""
        return any(line.unstable for table in self.tables for line in table.lines)


class Page(NamedTuple):
    """A report.

    terms: what the columns of its tables mean. facts: date, versions and machine. needs: the files that it takes to
    run it again, commands: how, and promise: what comes of it.
    """

    made_by: str
    title: str
    subtitle: str
    sections: tuple[Section, ...]
    terms: tuple[tuple[str, str], ...]
    documents: tuple[Document, ...]
    facts: tuple[tuple[str, str], ...]
    needs: tuple[str, ...]
    commands: tuple[str, ...]
    promise: str = ""

    @property
    def inputs(self) -> list[str]:
        """Names of the documents that the commands read."""
        return [each.name for each in self.documents if any(each.name in command for command in self.commands)]


def from_rich(table: Table, caption: str, marks: Sequence[tuple[PolicyStyle | None, bool]]) -> PageTable:
    """The table that the terminal shows. marks: of each line, the look of its policy and whether it is unstable."""
    cells = zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)
    lines = [
        Line(texts, look, unstable, row.end_section)
        for texts, (look, unstable), row in zip(cells, marks, table.rows, strict=True)
    ]
    heads = tuple(str(column.header) for column in table.columns)
    return PageTable(caption, heads, tuple(column.justify != "right" for column in table.columns), tuple(lines))
