"""What a reader of benchmark logs is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.benchlogs.bench_log import BenchLog
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.tool_run import Chunks


class Reader(NamedTuple):
    """A format of benchmark logs.

    name: as `--format` has it. recognises: whether a file is of this format, judged by its content; it may raise
    LogError. read: the runs in a file, in its order; raises LogError for a file that is not of the format.
    """

    name: str
    recognises: Callable[[LogFile], bool]
    read: Callable[[LogFile, Chunks | None], Sequence[BenchLog]]
