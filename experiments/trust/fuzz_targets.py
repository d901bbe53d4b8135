"""What is read from outside, one target for each reader, and the property: any bytes give a result or a clear error."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Literal, NamedTuple, NoReturn

from experiments.benchlogs import read_bench_logs
from experiments.cells import check_names
from experiments.log_files import load_log
from experiments.saved_results import read_results
from experiments.study_files import load_study
from experiments.sweep.grid import check_grid, load_grid
from experiments.trust import fuzz_seeds as seeds
from experiments.trust.fuzz_folders import (
    columns_of,
    sound_log,
    sound_measured_log,
    sound_results,
    sound_study_table,
    write_columns,
)
from hardware_profiles import load_profile
from hardware_profiles.loader import load_overhead
from hardware_profiles.model_config import read_model_config
from hardware_profiles.tables import read_table
from simulator.latency import Batch
from simulator.metrics import summary_values
from simulator.workload import read_trace

SECONDS = 10.0
"""Longest time for one input."""
BYTES = 2 << 30
"""Most memory that one input may add to the greatest that the process has held."""
_LONGEST_MESSAGE = 4_000
"""Characters: an unknown name is answered with all the known ones."""

Verdict = Literal["result", "refused"]


class Unclear(Exception):
    """An input had neither a result nor one clear line: the message says what came instead."""


class Target(NamedTuple):
    """A reader. name: of its file in the folder where it is fuzzed, from which `read` reads; seeds: sound inputs.

    ready: puts beside the file what it is read with. write: puts the input into its file. Where `names_file` is
    false, what is read names other files, whose errors are about them.
    """

    file: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
    ready: Callable[[Path], object] = lambda folder: None
    write: Callable[[Path, bytes], object] = Path.write_bytes
    names_file: bool = True


def outcome(target: Target, folder: Path, data: bytes) -> Verdict:
    """Whether `data` was read, or refused with a ValueError or OSError of one line that names the file.

    Raises `Unclear` for anything else: another exception, a message of several lines or of none, more than `SECONDS`
    or more than `BYTES`. A hang within one call of a C library ends when that call does.
    """
    path = folder / target.file
    target.write(path, data)
    before = _peak_bytes()
    try:
        with _limited(SECONDS):
            target.read(path)
        verdict: Verdict = "result"
    except (ValueError, OSError) as error:
        _check_words(str(error), folder if target.names_file else None)
        verdict = "refused"
    except Exception as error:
        raise Unclear(f"{type(error).__name__}: {str(error)[:200]}") from error
    if _peak_bytes() - before > BYTES:
        raise Unclear(f"took more than {BYTES >> 30} GiB")
    return verdict


def _check_words(said: str, folder: Path | None) -> None:
    if len(said.splitlines()) != 1 or not said.isprintable():
        raise Unclear(f"not one line: {said[:200]!r}")
    if len(said) > _LONGEST_MESSAGE:
        raise Unclear(f"{len(said)} characters long: {said[:200]!r}")
    if folder is not None and str(folder) not in said:
        raise Unclear(f"does not name the file: {said[:200]!r}")


class _TooLong(Exception):
    """The time is up."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _TooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _studied(path: Path) -> None:
    check_names(load_study(path))


def _gridded(path: Path) -> None:
    check_grid(load_grid(path))


def _scored(path: Path, format: str | None = None) -> None:
    for run in read_bench_logs(path, format=format):
        summary_values(run.log)


def _log(path: Path) -> None:
    """The log, and its metrics: what these refuse is named by whoever asked for them."""
    log = load_log(path.parent)
    try:
        summary_values(log)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _results(path: Path) -> None:
    read_results(path.parent)


def _study_tables(path: Path) -> None:
    _scored(path.parents[1])


def _by_columns(path: Path, data: bytes) -> None:
    write_columns(data, path)


def _tables(
    name: str, make: Callable[[Path], object], read: Callable[[Path], object], *files: str
) -> dict[str, Target]:
    """Two targets for each file of a folder: its bytes, and its columns as JSON."""
    with TemporaryDirectory() as folder:
        make(Path(folder))
        sound = {file: Path(folder) / file for file in files}
        by_bytes = {file: (path.read_bytes(),) for file, path in sound.items()}
        by_columns = {file: (columns_of(path),) for file, path in sound.items()}
    stems = {file: Path(file).stem for file in files}
    return {
        **{f"{name} {stems[file]} bytes": Target(file, by_bytes[file], read, make) for file in files},
        **{f"{name} {stems[file]}": Target(file, by_columns[file], read, make, _by_columns) for file in files},
    }


@cache
def targets() -> Mapping[str, Target]:
    """Every target by its name."""
    return {
        "study": Target("study.yaml", seeds.STUDIES, load_study),
        "study names": Target("study.yaml", seeds.STUDIES, _studied, names_file=False),
        "grid": Target("grid.yaml", seeds.GRIDS, load_grid),
        "grid names": Target("grid.yaml", seeds.GRIDS, _gridded, names_file=False),
        **{f"trace {name}": Target("trace", (seed,), read_trace) for name, seed in seeds.TRACES.items()},
        **{
            f"trace as {name}": Target("trace", (seed,), partial(read_trace, format=name, limit=2))
            for name, seed in seeds.TRACES.items()
        },
        **{f"log {name}": Target("log.json", (seed,), _scored) for name, seed in seeds.BENCH_LOGS.items()},
        **{
            f"log as {name}": Target("log.json", (seed,), partial(_scored, format=name))
            for name, seed in seeds.BENCH_LOGS.items()
        },
        "profile": Target("profile.yaml", seeds.PROFILES, _profiled),
        "calibration table": Target("table.csv", seeds.TABLES, read_table),
        "model config": Target("config.json", seeds.MODEL_CONFIGS, read_model_config),
        **_tables("token log", sound_log, _log, "requests.parquet", "segments.parquet", "runs.parquet"),
        **_tables("measured log", sound_measured_log, _log, "measured.parquet"),
        **_tables("results", sound_results, _results, "summary.parquet", "runs.parquet"),
        **_tables("table of a study", sound_study_table, _study_tables, "requests/a.parquet"),
    }


def _profiled(path: Path) -> None:
    profile = load_profile(path)
    assert profile.latency.step_time(Batch(num_decodes=1, kv_tokens=1, num_requests=1)) >= 0
    assert profile.with_overhead(load_overhead("vllm-2024")).latency
