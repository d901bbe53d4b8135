"""Readers of real benchmark logs: a file of a load tool in, token logs out."""

from experiments.benchlogs.bench_log import BenchLog, bench_log
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import LogError, Node
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.registry import read_bench_logs, reader_names
from experiments.benchlogs.tool_run import Chunks, ToolFigures, ToolRequest, ToolRun

__all__ = [
    "BenchLog",
    "Chunks",
    "LogError",
    "LogFile",
    "Node",
    "Reader",
    "ToolFigures",
    "ToolRequest",
    "ToolRun",
    "bench_log",
    "read_bench_logs",
    "reader_names",
]
