"""Readers by name: ours from the table below, anybody else's from the entry-point group `smoothserve.readers`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from os import PathLike

from experiments.benchlogs.bench_log import BenchLog
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import LogError, listed
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_run import Chunks
from simulator.unknown_name import unknown_name

GROUP = "smoothserve.readers"

BUILT_IN = {
    "smoothserve": "experiments.benchlogs.saved",
    "vllm": "experiments.benchlogs.vllm",
    "sglang": "experiments.benchlogs.sglang",
    "aiperf": "experiments.benchlogs.aiperf",
    "genai-perf": "experiments.benchlogs.genai_perf",
    "guidellm": "experiments.benchlogs.guidellm",
    "llmperf": "experiments.benchlogs.llmperf",
}


def read_bench_logs(
    path: str | PathLike[str], *, format: str | None = None, chunks: Chunks | None = None
) -> Sequence[BenchLog]:
    """The runs in a benchmark log, in the order of the file.

    format: a name of `reader_names()`; None finds it out from the content. chunks: what to do where chunks are not
    tokens; None spreads the tokens and says so. Raises LogError, `path:line: place: what`, for a file that is
    missing, damaged or of no known format; ValueError for an unknown format.
    """
    file = LogFile(path)
    reader = _recognised(file) if format is None else _reader(format)
    logs = reader.read(file, chunks)
    if not logs:
        raise LogError(f"{file.path}: holds no run")
    return logs


def reader_names() -> list[str]:
    """Names of all formats: ours, then those of other packages."""
    return [*BUILT_IN, *(name for name in sorted(_outside()) if name not in BUILT_IN)]


def _outside() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _reader(name: str) -> Reader:
    if name in BUILT_IN:
        found = import_module(BUILT_IN[name]).READER
    elif point := _outside().get(name):
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"format {name!r}: {point.value} cannot be loaded: {error}") from error
    else:
        raise ValueError(unknown_name("format", name, reader_names()))
    if not isinstance(found, Reader):
        raise ValueError(f"format {name!r}: {found!r} is not a Reader")
    return found


def _recognised(file: LogFile) -> Reader:
    """The first reader that recognises the file, other packages' first: they may read what is not JSON."""
    ours = list(BUILT_IN)
    for name in [*(name for name in reader_names() if name not in ours), *ours]:
        reader = _reader(name)
        if reader.recognises(file):
            return reader
    first = file.values[0]
    keys = f"an object with {listed(first.value, limit=6)}" if isinstance(first.value, dict) else ""
    what = keys or ("a list" if isinstance(first.value, list) else "no object")
    raise LogError(f"{first.place}: no known format ({', '.join(reader_names())}): {what}")
