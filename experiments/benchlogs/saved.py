"""Our own results: a saved token log, or the per-request tables in the output folder of `smoothserve compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.benchlogs.bench_log import BenchLog
from experiments.benchlogs.log_file import LogFile
from experiments.benchlogs.node import LogError, shown
from experiments.benchlogs.reader import Reader
from experiments.benchlogs.tool_run import Chunks
from experiments.log_checks import MAX_TOKENS, check_log
from experiments.log_files import load_log
from experiments.parquet_files import numbers, read_parquet, texts, whole_numbers
from simulator.token_log import Floats, Ints, Status, TokenLog, TokenTimes

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
    table = _read(path)
    status = np.array([_status(path, word) for word in texts(path, table, "status")], dtype=np.int64)
    arrival, counts = numbers(path, table, "arrival"), whole_numbers(path, table, "num_tokens").astype(np.int64)
    if (counts < 0).any() or counts.sum(dtype=np.float64) > MAX_TOKENS:
        raise LogError(f"{path}: column num_tokens: should be counts, at most {MAX_TOKENS} in all")
    n = len(arrival)
    tpot = np.nan_to_num(numbers(path, table, "tpot"))
    log = TokenLog(
        arrival=arrival,
        prompt_length=whole_numbers(path, table, "prompt_length"),
        output_length=whole_numbers(path, table, "output_length"),
        status=status,
        end=numbers(path, table, "end"),
        reason=tuple(texts(path, table, "reason")),
        request_class=np.zeros(n, dtype=np.int64),
        class_names=("default",),
        client=np.full(n, -1, dtype=np.int64),
        window=float(arrival[-1] - arrival[0]) if n else 0.0,
        measured=_token_times(arrival + numbers(path, table, "ttft"), tpot, counts),
        meta={"token_times": "ends", "arrivals": "known", **_run(table)},
    )
    try:
        check_log(log)
    except ValueError as error:
        raise LogError(f"{path}: {error}") from None
    note = "the study kept only the first and the last token of a request: metrics of the tokens between are refused"
    return BenchLog(log, np.arange(n), "smoothserve", notes=(note,))


def _token_times(first: Floats, tpot: Floats, counts: Ints) -> TokenTimes:
    offsets = np.concatenate(([0], np.cumsum(counts)))
    step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    return TokenTimes(np.repeat(first, counts) + step * np.repeat(tpot, counts), offsets)


def _read(path: Path) -> pa.Table:
    try:
        return read_parquet(path)
    except OSError as error:
        raise LogError(f"{path}: is damaged: {error.strerror or error}") from None
    except ValueError as error:
        raise LogError(str(error)) from None


def _status(path: Path, word: str) -> Status:
    if word not in _STATUSES:
        raise LogError(f"{path}: status {shown(word)} is unknown ({', '.join(_STATUSES)})")
    return _STATUSES[word]


def _run(table: pa.Table) -> dict[str, Any]:
    """The policy, rate and seed of the run, as far as there are rows that say them."""
    names = [name for name in ("policy", "rate", "seed") if name in table.column_names and table.num_rows]
    return {name: table.column(name)[0].as_py() for name in names}


def _recognises(file: LogFile) -> bool:
    return file.is_folder


READER = Reader("smoothserve", _recognises, read_saved)
