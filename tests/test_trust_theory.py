"""The theory page: what it says is computed from its runs, and the shipped one is of the queues that there are."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from experiments.intervals import Interval
from experiments.trust.__main__ import HOME, PAGES, trust
from experiments.trust.queues import QUEUES
from experiments.trust.theory import page_text, write_page
from experiments.trust.theory_points import Point, loads

KINDS = [(name, of) for name, queue in QUEUES.items() for of in queue.closed_forms]
NUM_POINTS = sum(len(loads(name)) for name, _ in KINDS)


def by_hand(mean: float, agrees: bool = True) -> Point:
    simulated = Interval(mean, 0.01)
    altered = (Interval(0.9 * mean, 0.01), Interval(1.1 * mean, 0.01))
    return Point("M/G/1", "sojourn", 0.5, 2.0, 2.001, simulated, altered, agrees, (True, agrees), simulated)


def test_the_page_is_made_from_start_to_end(tmp_path: Path) -> None:
    write_page(tmp_path, quick=True, jobs=1, quiet=True)
    text = (tmp_path / "THEORY.md").read_text(encoding="utf-8")
    check_page(tmp_path, text)
    assert "A few hundred requests a run" in text


def test_the_shipped_page_has_every_queue_and_load() -> None:
    text = (HOME / "THEORY.md").read_text(encoding="utf-8")
    check_page(HOME, text)
    assert "A few hundred requests a run" not in text


def check_page(folder: Path, text: str) -> None:
    assert re.search(r"Made on \d{4}-\d\d-\d\d by `python -m experiments.trust theory`", text)
    for name, of in KINDS:
        label = name if of == "sojourn" else f"{name}, {of}"
        assert len(re.findall(rf"^\| {re.escape(label)} \|", text, re.MULTILINE)) == 1 + len(loads(name))
    assert f"of {NUM_POINTS} simulated 95 % intervals" in text
    assert 0 < (folder / "theory.png").stat().st_size < 300_000


def test_what_does_not_agree_is_said() -> None:
    text = page_text([by_hand(2.005), by_hand(2.5, agrees=False)], "", date(2030, 1, 2))
    assert "Made on 2030-01-02" in text
    assert "Theory lies in 1 of 2 simulated 95 % intervals" in text
    assert "in steps in 1 of 2 without any" in text
    assert "noticed in 3 of 4 cases" in text
    good, bad = (line for line in text.splitlines() if line.startswith("| M/G/1 | 0.5"))
    assert "| +0.2 % ±0.5 % | yes | 2.0010 | 2.0050 ±0.0100 | yes | −9.8 %, noticed | +10.3 %, noticed |" in good
    assert "| +25.0 % ±0.5 % | **no** | 2.0010 | 2.5000 ±0.0100 | **no** |" in bad
    assert bad.endswith("| +37.5 %, **not noticed** |")


def test_an_unknown_page_is_named() -> None:
    with pytest.raises(ValueError, match="page 'practice' is not one of theory, validation, sensitivity"):
        trust("practice")
    assert list(PAGES) == ["theory", "validation", "sensitivity"]
