"""The documents' Python and SQL blocks run, in order of appearance and each page in a namespace of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from experiments.compare import run_compare
from experiments.study_files import load_study
from experiments.sweep.grid import load_grid
from experiments.sweep.run import run_sweep
from policies import make_policy
from simulator import simulate
from tests.support import Machine, a100_like, workload

ROOT = Path(__file__).parents[1]
PAGES = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))
BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


STUDY = """
workload: {lengths: azure-conv}
rates: [2]
requests: 20
profile: a100-80gb/llama-3-8b/tp1
policies: [fcfs]
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = list(BLOCK.finditer(page.read_text(encoding="utf-8")))
    if not blocks:
        pytest.skip("no code in it")
    monkeypatch.chdir(tmp_path)
    if page.parent.name == "experiments":  # its blocks read a study and the results of one
        Path("study.yaml").write_text(STUDY, encoding="utf-8")
        run_compare(load_study(Path("study.yaml")))
        run_sweep(load_grid(Path("study.yaml")), jobs=1)
    namespace: dict[str, Any] = {"__name__": "docs"}
    if page.parent.name == "metrics":
        namespace["log"] = simulate(workload([0.0, 0.5], 100, 20), make_policy("fcfs"), Machine(a100_like()))
    for block in blocks:
        line = page.read_text(encoding="utf-8").count("\n", 0, block.start()) + 1
        language, code = block.groups()
        if language == "sql":
            assert duckdb.sql(code).fetchall()
        else:
            exec(compile("\n" * line + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
