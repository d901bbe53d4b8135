"""`smoothserve report`: an output folder as one HTML file."""

from __future__ import annotations

import secrets
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.report_page.page import Page

_PAGES = {
    "smoothserve compare": "experiments.report_page.compare_page",
    "smoothserve sweep": "experiments.report_page.sweep_page",
    "smoothserve demo": "experiments.report_page.demo_page",
    "smoothserve capacity": "experiments.report_page.capacity_page",
}
"""Modules by what made the folder, each with a function `page`."""


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What smoothserve compare and the like wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where the page goes.  [default: FOLDER.html]")
    ] = None,
) -> None:
    """Make one HTML file of an output folder: verdict, tables, figures, the study and how to run it again.

    It needs no other file, no network and no script.
    """
    path = write_report(folder, out)
    typer.echo(f"Written to {path} ({path.stat().st_size / 1e6:.1f} MB).")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of an output folder to `out`, or else to FOLDER.html beside the folder, and return the path.

    Beside and not in it, so that a later run can replace the folder whole. An earlier page there is replaced; the file
    is whole or not there. Raises ValueError or OSError of one line.
    """
    from experiments.report_page.render import render

    page = page_of(folder)
    place = folder.resolve()
    out = out or (folder.parent if folder.name == place.name else place.parent) / f"{place.name}.html"
    _check(out, place)
    _replace(out, render(page))
    return out


def page_of(folder: Path) -> Page:
    """What there is to say of an output folder. Raises ValueError or OSError of one line if it is none or damaged."""
    from experiments.report_page.provenance import read_provenance

    provenance = read_provenance(folder)
    if provenance.made_by not in _PAGES:
        raise ValueError(f"{folder}: is of {provenance.made_by}; there are pages of {', '.join(_PAGES)}")
    page: Page = import_module(_PAGES[provenance.made_by]).page(folder, provenance)
    return page


def _check(out: Path, folder: Path) -> None:
    from experiments.report_page.render import GENERATOR

    if folder in out.resolve().parents:
        raise ValueError(f"{out}: lies in the output folder, which a later run replaces whole; name another place")
    if out.is_dir():
        raise ValueError(f"{out}: is a folder")
    if out.exists() and GENERATOR.encode() not in out.read_bytes()[:1000]:
        raise ValueError(f"{out}: exists and is no earlier report; name another file or remove it")


def _replace(out: Path, text: str) -> None:
    aside = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(out)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise type(error)(error.errno, error.strerror, str(out)) from None
