"""The report page of what `smoothserve capacity` left in its output folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import Any

from experiments.labels import short_names
from experiments.numbers import number, with_half_width
from experiments.report import headline
from experiments.report_page.page import Document, Line, Page, PageFigure, PageTable, Section
from experiments.report_page.pictures import read_picture
from experiments.report_page.provenance import Provenance, needs
from experiments.saved_results import Record, read_table
from experiments.study_files import load_study, read_fields
from experiments.style import policy_styles

_COST, _GOOD = "cost_per_million_good_tokens", "good_tokens_per_s"
_LABELS = ("condition", "profile", "policy", "num_gpus", "num_seeds", "outcome", "usd_per_gpu_hour")
_COLUMNS = (*_LABELS, *(f"{name}{end}" for name in ("capacity", _GOOD, _COST) for end in ("", "_half_width")))
_CAPTION = "The capacity of each policy by each condition, with 95 % intervals"


def page(folder: Path, provenance: Provenance) -> Page:
    """The page. Raises ValueError or OSError of one line that names the file which is not as it should be."""
    study, search = load_study(folder / "study.yaml"), read_fields(folder / "search.yaml")
    frame = read_table(folder / "capacity.parquet", _COLUMNS)
    records: list[Record] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    figure = PageFigure(*read_picture(folder / "figures" / "capacity.png"), _CAPTION, f"{_CAPTION}.")
    conditions = dict.fromkeys(record["condition"] for record in records)
    tables = tuple(_table(name, [each for each in records if each["condition"] == name]) for name in conditions)
    return Page(
        made_by=provenance.made_by,
        title=study.name,
        subtitle=headline(study).removeprefix(f"{study.name}: "),
        sections=(Section("Capacity", _verdict(records), (figure,), tables, tuple(_notes(records))),),
        terms=(),
        documents=tuple(
            Document(name, (folder / name).read_text(encoding="utf-8")) for name in ("study.yaml", "search.yaml")
        ),
        facts=provenance.facts,
        needs=needs(study),
        commands=(_command(search, folder / "search.yaml"),),
    )


def _verdict(records: Sequence[Record]) -> str:
    """The capacity of every policy by every condition, in a sentence each."""
    names = short_names(record["policy"] for record in records)
    several = len({record["profile"] for record in records}) > 1
    sentences = []
    for condition in dict.fromkeys(record["condition"] for record in records):
        parts = [
            f"{names[each['policy']]}{' on ' + each['profile'] if several else ''} {_capacity(each)}"
            for each in records
            if each["condition"] == condition
        ]
        sentences.append(f"By {condition}: {', '.join(parts)} requests/s.")
    return " ".join(sentences)


def _table(condition: str, records: Sequence[Record]) -> PageTable:
    names, looks = short_names(each["policy"] for each in records), policy_styles(each["policy"] for each in records)
    priced = any(isfinite(each["usd_per_gpu_hour"]) for each in records)
    heads = ["policy", "profile", "GPUs", "capacity\nreq/s", "good\ntokens/s"]
    heads += ["USD a million\ngood tokens"] if priced else []
    lines = []
    for each in records:
        costs = [_spread(each, _COST)] if priced else []
        counts = str(each["num_gpus"]), _capacity(each), _spread(each, _GOOD)
        lines.append(Line((names[each["policy"]], each["profile"], *counts, *costs), looks[each["policy"]]))
    labels = tuple(head in ("policy", "profile") for head in heads)
    return PageTable(f"Capacity of a replica by {condition}", tuple(heads), labels, tuple(lines))


def _capacity(record: Record) -> str:
    if record["outcome"] == "never":
        return "none"
    return f"> {number(record['capacity'])}" if record["outcome"] == "above" else _spread(record, "capacity")


def _spread(record: Record, name: str) -> str:
    mean, half_width = record[name], record[f"{name}_half_width"]
    return with_half_width(mean, half_width) if isfinite(half_width) else number(mean)


def _notes(records: Sequence[Record]) -> Iterator[str]:
    seeds = records[0]["num_seeds"]
    if seeds > 1:
        yield f"± is the half-width of the 95 % interval over {seeds} seeds, each with a rate of its own."
    yield "A rate at which the run is unstable keeps no condition."
    if any(record["outcome"] == "never" for record in records):
        yield "None: no rate that was tried keeps the condition."
    if any(record["outcome"] == "above" for record in records):
        yield "> stands before the highest rate that was tried, which keeps the condition for some seed."


def _command(search: Mapping[str, Any], source: Path) -> str:
    """The command that searches again what was searched."""
    try:
        options = [("--keep", condition) for condition in search["keep"]]
        options += [("--profile", profile) for profile in search["profiles"]]
        options += [("--price", f"{name}={price:g}") for name, price in search["usd_per_gpu_hour"].items()]
        options += [("--tolerance", f"{search['tolerance']:g}")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{source}: does not say what was searched: {error!r}") from None
    spelled = " ".join(f"{name} {quote(str(value))}" for name, value in options)
    return f"smoothserve capacity study.yaml {spelled} --out again"
