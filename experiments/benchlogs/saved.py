"""Our own results: a saved token log, or the per-request tables in the output folder of `smoothserve compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.benchlogs.bench_log import BenchLog
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import LogError
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_run import Chunks
from experiments.log_files import load_log
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes

_COLUMNS = ("arrival", "prompt_length", "output_length", "status", "end", "reason", "num_tokens", "ttft", "tpot")
_STATUSES = {status.name.lower(): status for status in Status}


def read_saved(file: LogFile, chunks: Chunks | None = None) -> Sequence[BenchLog]:
    """The saved log of a folder, or one log for each table in its `requests/`.

    A saved log has the times of all tokens. The tables of a study have only each request's latencies, from which
    its first and last token follow. Raises LogError for a folder that is neither, and ValueError as `load_log`.
    """
    if not file.is_folder:
        raise LogError(f"{file.path}: is not a folder of ours")
    if (file.path / "requests.parquet").is_file():
        log = load_log(file.path)
        return [BenchLog(log, np.arange(log.num_requests), "smoothserve")]
    tables = sorted((file.path / "requests").glob("*.parquet"))
    if not tables:
        raise LogError(f"{file.path}: holds neither a token log (requests.parquet) nor tables in requests/")
    return [_from_table(table) for table in tables]


def _from_table(path: Path) -> BenchLog:
    columns = _columns(path)
    arrival, counts = columns["arrival"], columns["num_tokens"]
    status = np.array([_STATUSES[word] for word in columns["status"]], dtype=np.int64)
    n = len(arrival)
    log = TokenLog(
        arrival=arrival,
        prompt_length=columns["prompt_length"],
        output_length=columns["output_length"],
        status=status,
        end=columns["end"],
        reason=tuple(columns["reason"]),
        request_class=np.zeros(n, dtype=np.int64),
        class_names=("default",),
        client=np.full(n, -1, dtype=np.int64),
        window=float(arrival[-1] - arrival[0]) if n else 0.0,
        measured=_token_times(arrival + columns["ttft"], np.nan_to_num(columns["tpot"]), counts),
        meta={"token_times": "ends", "arrivals": "known", **columns["run"]},
    )
    note = "the study kept only the first and the last token of a request: metrics of the tokens between are refused"
    return BenchLog(log, np.arange(n), "smoothserve", notes=(note,))


def _token_times(first: Floats, tpot: Floats, counts: Ints) -> TokenTimes:
    offsets = np.concatenate(([0], np.cumsum(counts)))
    step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    return TokenTimes(np.repeat(first, counts) + step * np.repeat(tpot, counts), offsets)


def _columns(path: Path) -> dict[str, Any]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise LogError(f"{path}: column {missing[0]} is missing")
    words = {name: table.column(name).to_pylist() for name in ("status", "reason")}
    unknown = sorted({str(word) for word in words["status"]} - set(_STATUSES))
    if unknown:
        raise LogError(f"{path}: status {unknown[0]!r} is unknown ({', '.join(_STATUSES)})")
    run = {name: table.column(name)[0].as_py() for name in ("policy", "rate", "seed") if name in table.column_names}
    numbers = {name: np.array(table.column(name).to_numpy()) for name in _COLUMNS if name not in words}
    return {**words, **numbers, "run": run if table.num_rows else {}}


def _recognises(file: LogFile) -> bool:
    return file.is_folder


READER = Reader("smoothserve", _recognises, read_saved)
