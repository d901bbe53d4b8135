"""An experiment of a paper: its studies, what is read off their runs, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from experiments.paper.finding import Finding
from experiments.paper.runs import Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Table(NamedTuple):
    """A table of the page: the words of its head, and of each row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Section(NamedTuple):
    """What the page says about an experiment: findings, a few sentences in Markdown, and perhaps a table."""

    findings: tuple[Finding, ...]
    text: str
    table: Table | None = None


class Experiment(NamedTuple):
    """One experiment of the page.

    studies: names of files in the folder `studies`. setting: what was run, in Markdown. deviations: how it differs
    from the paper. read: from the runs of each study by its name to the section. draw: from the same to a figure.
    keeps_requests: whether per-request tables are needed.
    """

    name: str
    title: str
    studies: tuple[str, ...]
    setting: str
    deviations: tuple[str, ...]
    read: Callable[[Mapping[str, Runs]], Section]
    draw: Callable[[Mapping[str, Runs]], Figure]
    keeps_requests: bool = False
