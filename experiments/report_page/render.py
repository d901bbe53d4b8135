"""A page as HTML; every text in it is escaped."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING

from experiments.report_page.page import Page

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = "smoothserve report"
"""Stands in every page, and nowhere in a file of someone else."""

# outlines around (0, 0) of matplotlib's markers, for a view of 30 × 12
_MARKS = {
    "o": "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0z",
    "s": "M-3.8-3.8h7.6v7.6h-7.6z",
    "^": "M0-4.4L4.4 3.8H-4.4z",
    "v": "M0 4.4L4.4-3.8H-4.4z",
    "D": "M0-5L5 0L0 5L-5 0z",
    "P": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "X": "M-4.4-2.2L-2.2-4.4L0-2.2L2.2-4.4L4.4-2.2L2.2 0L4.4 2.2L2.2 4.4L0 2.2L-2.2 4.4L-4.4 2.2L-2.2 0z",
}
_DASHES = {"-": "none", "--": "6 3", "-.": "6 2 1.5 2", ":": "1.5 2"}


def render(page: Page) -> str:
    """The page as one HTML document without links to anything outside it; the same page gives the same text."""
    return _environment().get_template("page.html.jinja").render(page._asdict() | {"inputs": page.inputs})


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("experiments.report_page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"marks": _MARKS, "dashes": _DASHES, "generator": GENERATOR}
    environment.filters["data_uri"] = _data_uri
    return environment


def _data_uri(text: str) -> str:
    return f"data:text/plain;base64,{base64.b64encode(text.encode()).decode()}"
