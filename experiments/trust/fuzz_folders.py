"""Sound folders of tables for fuzzing, and tables as JSON, which damage reaches more deeply than their bytes."""

from __future__ import annotations

import json
from functools import cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.aggregate import rows
from experiments.benchlogs import read_bench_logs
from experiments.cells import CellResult, cells, run_cell
from experiments.log_files import save_log
from experiments.results import write_results
from experiments.study import StudySpec
from experiments.study_files import make_study
from experiments.trust.fuzz_seeds import BENCH_LOGS
from hardware_profiles import load_profile
from policies import make_policy
from simulator.simulation import simulate
from simulator.workload import PoissonArrivals, load_length_table, synthetic_workload

_FEW = 6
"""Figures of a summary that are kept: damage finds each of them sooner."""
_UNSTABLE = {"unstable": 0.0}
_PROFILE = "a100-80gb/llama-3-8b/tp1"


def sound_log(folder: Path) -> None:
    """Save the log of a small simulated run."""
    workload = synthetic_workload(PoissonArrivals(20.0), load_length_table("azure-conv"), num_requests=3, seed=1)
    save_log(simulate(workload, make_policy("fcfs"), load_profile(_PROFILE)), folder)


def sound_measured_log(folder: Path) -> None:
    """Save a log of measured token times."""
    benchmark = folder.with_name(f"{folder.name}.json")
    benchmark.write_bytes(BENCH_LOGS["vllm"])
    save_log(read_bench_logs(benchmark)[0].log, folder)
    benchmark.unlink()


def sound_results(folder: Path) -> None:
    """Write the tables of a small study."""
    study, results = _studied()
    few = [result._replace(values=dict(islice(result.values.items(), _FEW))) for result in results]
    write_results(folder, study, rows([r._replace(values=r.values | _UNSTABLE) for r in few]))


def sound_study_table(folder: Path) -> None:
    """Write the per-request table of one cell of a small study, as requests/a.parquet."""
    study, _ = _studied()
    (folder / "requests").mkdir(exist_ok=True)
    first = cells(study)[0]
    run_cell(study, first, folder / "requests")
    (folder / "requests" / first.file_name).rename(folder / "requests" / "a.parquet")


@cache
def _studied() -> tuple[StudySpec, tuple[CellResult, ...]]:
    """A study of two cells and their results."""
    load = {"lengths": "azure-conv"}
    fields = {"workload": load, "rates": [2], "requests": 4, "profile": _PROFILE, "policies": ["fcfs"], "seeds": 2}
    study = make_study(fields, "the fuzzed study")
    return study, tuple(run_cell(study, cell) for cell in cells(study))


def columns_of(path: Path) -> bytes:
    """A Parquet file as JSON: its columns, and its metadata, whose values are JSON too where they are ours."""
    table = pq.read_table(path)
    ours = {key.decode(): json.loads(value) for key, value in (table.schema.metadata or {}).items()}
    return json.dumps({"metadata": ours, "columns": table.to_pydict()}, default=str).encode()


def write_columns(data: bytes, path: Path) -> None:
    """The opposite of `columns_of`; what is no such JSON, or no table, becomes the content of the file as it is."""
    try:
        content = json.loads(data)
        table = pa.table(content["columns"])
        metadata = {name: json.dumps(value) for name, value in content["metadata"].items()}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    except Exception:
        path.write_bytes(data)
