"""A sweep that is killed again and again ends with the table of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.sweep_support import cell_files, grid, outputs, run, start

CELLS = {"rates": [2, 3, 4, 5, 6], "seeds": 20, "requests": 60}
NUM_CELLS = 200
NUM_KILLS = 5


def finished_cells(store: Path) -> int:
    return len(list((store / "cells").glob("*.parquet"))) if (store / "cells").is_dir() else 0


def kill_between(sweep: subprocess.Popen[str], store: Path, first: int, last: int, draw: random.Random) -> None:
    """SIGKILL the sweep, now alone and now with its workers, at a random moment after `first` cells, before `last`."""
    deadline = time.monotonic() + 120
    while finished_cells(store) < draw.randint(first, last) and time.monotonic() < deadline:
        time.sleep(draw.uniform(0, 0.03))
    assert sweep.poll() is None, "it ended before it could be killed"
    alone = draw.random() < 0.5
    (os.kill if alone else os.killpg)(sweep.pid, signal.SIGKILL)
    assert sweep.wait(timeout=60) == -signal.SIGKILL
    if alone:  # orphaned workers hold the pipes, and would wait for minutes
        time.sleep(draw.uniform(0, 0.5))
        os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=60)


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    study = tmp_path / "grid.yaml"
    study.write_text(grid(**CELLS).to_yaml(), encoding="utf-8")
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    code, _, err = run(str(study), "--out", str(alone))
    assert code == 0, err
    assert finished_cells(alone) == NUM_CELLS

    draw = random.Random(6)
    share = NUM_CELLS // (NUM_KILLS + 1)
    for i in range(NUM_KILLS):
        before = finished_cells(killed)
        kill_between(start(str(study), "--out", str(killed)), killed, i * share + 1, (i + 1) * share, draw)
        assert before <= finished_cells(killed) < NUM_CELLS
        assert not (killed / "table.parquet").exists()
    code, out, err = run(str(study), "--out", str(killed))
    assert code == 0, err
    assert "from the store" in out
    assert outputs(killed) == outputs(alone)
    assert cell_files(killed) == cell_files(alone)
    assert not list((killed / "tmp").iterdir())
