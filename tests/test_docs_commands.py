"""Every command in the documents runs: on small files of the names that it gives, the built-in study made short."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments import study_files
from experiments.cli import main
from experiments.log_files import save_log
from policies import make_policy
from simulator import simulate
from tests.bench_support import FIXTURES
from tests.outside_policies import install
from tests.support import Machine, a100_like, workload
from tests.test_docs import BLOCK, PAGES, ROOT, STUDY

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = {
    "make compare": "what .ci/run and the tests of compare do",
    "make test": "this suite",
    "pip install 'smoothserve[learn]'": "an installation",
    "smoothserve sweep grid.yaml --backend dask": "tests/test_sweep_clusters.py",
    "smoothserve sweep grid.yaml --backend ray": "tests/test_sweep_clusters.py",
    "smoothserve sweep grid.yaml --backend dask --address tcp://head:8786": "tests/test_sweep_clusters.py",
}
SHORT = {"rates": [2], "window": 61, "requests": None, "seeds": 2}
GRID = """
workloads: {chat: {lengths: sharegpt}, documents: {lengths: arxiv-summarization}}
profiles: [a100-80gb/llama-3-8b/tp1, h100-80gb/llama-3-8b/tp1]
rates: [1]
requests: 5
policies: [fcfs]
"""
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second}.0000000,{100 * second},{second}\n" for second in range(10, 20)
)
SURGE = "compare --lengths sharegpt --rate 13 --window 60 --seeds 1 --profile a800-80gb/llama-2-7b/tp1 --policies andes"


def commands() -> list[str]:
    """Commands of all pages, each once, without the remarks behind them."""
    lines = [
        line
        for page in PAGES
        for block in CONSOLE.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
    ]
    return list(dict.fromkeys(shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))))


def run(command: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(shlex.split(command))
    return int(end.value.code or 0)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the documents name."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(f"{STUDY}seeds: 2\nslo: {{ttft: 1}}\n", encoding="utf-8")
    Path("grid.yaml").write_text(GRID, encoding="utf-8")
    for name in ("AzureLLMInferenceTrace_conv.csv", "trace.csv"):
        Path(name).write_text(TRACE, encoding="utf-8")
    for name, fixture in {
        "vllm_bench.json": "vllm.json",
        "sglang_bench.jsonl": "sglang.jsonl",
        "run.json": "vllm.json",
        "old.json": "vllm.json",
        "new.json": "guidellm.json",
        "profile_export.jsonl": "aiperf.jsonl",
    }.items():
        shutil.copy(FIXTURES / fixture, name)
    save_log(simulate(workload([0.0, 0.5], 100, 20), make_policy("fcfs"), Machine(a100_like())), Path("folder"))
    install_the_policy_of_the_page(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path


def install_the_policy_of_the_page(site: Path) -> None:
    page = (ROOT / "policies" / "README.md").read_text(encoding="utf-8")
    (source,) = [code for _, code in BLOCK.findall(page) if "class ShortestPromptFirst" in code]
    (entry_point,) = re.findall(r"^shortest_prompt_first = .*$", page, re.MULTILINE)
    install(site, "my_policies", source, entry_point.replace(chr(34), ""))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in study takes seconds, not minutes."""
    whole = study_files.default_study_fields
    fields: dict[str, Any] = {name: value for name, value in (whole() | SHORT).items() if value is not None}
    for module in ("experiments.study_files", "experiments.study_options"):
        monkeypatch.setattr(f"{module}.default_study_fields", lambda: dict(fields))


@pytest.mark.usefixtures("prepared", "short")
@pytest.mark.parametrize("command", commands())
def test_commands_run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if command in ELSEWHERE:
        pytest.skip(f"is seen by {ELSEWHERE[command]}")
    program, name, *options = shlex.split(command)
    assert program == "smoothserve"
    if name == "learn":
        pytest.importorskip("marimo")
        monkeypatch.setattr("experiments.lessons.server.serve", lambda port, tell: tell(f"http://127.0.0.1:{port}"))
        monkeypatch.setattr("typer.launch", lambda address: 0)
    elif options and options[0].startswith("results/"):
        earlier = (
            "sweep grid.yaml --jobs 1" if options[0].endswith("sweep") else SURGE if name == "timeline" else "compare"
        )
        assert run(earlier) == 0
    capsys.readouterr()
    more = ["--jobs", "1"] if name in ("compare", "capacity", "sweep") else []
    assert run(shlex.join([name, *options, *more])) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert said.strip()
    if "--json" in options:
        json.loads(said)


def test_what_is_seen_elsewhere_is_still_in_the_documents() -> None:
    assert set(ELSEWHERE) <= set(commands())
