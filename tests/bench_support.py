"""What the tests of benchmark logs share: the trimmed logs, and short ways to write and read one."""

import json
from pathlib import Path
from typing import Any

from experiments.benchlogs import BenchLog, read_bench_logs
from experiments.score import score_files
from experiments.score_values import ScoredLog
from simulator.metrics import SLO, User

FIXTURES = Path(__file__).parent / "fixtures" / "benchlogs"
VLLM, SGLANG, AIPERF, GUIDELLM = (
    FIXTURES / name for name in ("vllm.json", "sglang.jsonl", "aiperf.jsonl", "guidellm.json")
)


def read(path: Path, **options: Any) -> BenchLog:
    (log,) = read_bench_logs(path, **options)
    return log


def written(folder: Path, content: Any, name: str = "log.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def times_of(log: BenchLog, request: int) -> list[float]:
    tokens = log.log.token_times(request, request + 1).times
    return list((tokens - log.log.arrival[request]).round(9))


def scored(path: Path, slo: str | None = None, **user: Any) -> ScoredLog:
    (log,) = score_files([path], SLO.parse(slo) if slo else None, User(**user))
    return log
