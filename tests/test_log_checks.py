"""A log that no run can have is refused, by the first entry that is wrong."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from experiments.log_checks import MAX_ANSWER, check_log
from policies import make_policy
from simulator import TokenLog, simulate
from simulator.token_log import TokenTimes
from tests.support import Machine, a100_like, workload

LOG = simulate(workload([0.0, 0.5, 0.5], 40, 30), make_policy("fcfs"), Machine(a100_like()))


def with_entry(values: Any, row: int, value: float) -> Any:
    """A copy with another entry, as the file of a log might have it."""
    changed = np.array(values)
    changed[row] = value
    return changed


def changed(table: str, column: str, row: int, value: float) -> TokenLog:
    """LOG with another entry of a column."""
    if table == "requests":
        return replace(LOG, **{column: with_entry(getattr(LOG, column), row, value)})
    part = getattr(LOG, table)
    return replace(LOG, **{table: replace(part, **{column: with_entry(getattr(part, column), row, value)})})


def test_what_a_run_gives_passes() -> None:
    check_log(LOG)
    check_log(replace(LOG, measured=LOG.token_times(), segments=None, runs=None, events=None))


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "words"),
    [
        ("requests", "arrival", 0, nan, "nan of row 0 must be finite, ≥ 0 s"),
        ("requests", "arrival", 0, -1.0, "-1.0 of row 0 must be finite"),
        ("requests", "arrival", 2, 0.25, "0.25 of row 2 is earlier than the one before it"),
        ("requests", "prompt_length", 1, -1, "-1 of row 1 is no number of tokens"),
        ("requests", "output_length", 1, 2**31, "2147483648 of row 1 is no number of tokens"),
        ("requests", "status", 1, 9, "9 of row 1 is unknown"),
        ("requests", "end", 1, inf, "inf of row 1 must be finite or NaN"),
        ("requests", "request_class", 2, 1, "1 of row 2 has no name"),
        ("runs", "num_decodes", 0, -1, "-1 of row 0 must be ≥ 0"),
        ("runs", "num_steps", 2, MAX_ANSWER + 1, f"{MAX_ANSWER + 1} of row 2 is over {MAX_ANSWER}"),
        ("runs", "step_time", 0, nan, "nan of row 0 must be finite"),
        ("runs", "step_time", 0, 1e308, "is earlier than the end of the run before it"),
        ("runs", "start", 1, 0.0, "0.0 of row 1 is earlier than the end of the run before it"),
        ("segments", "request", 0, 3, "3 of row 0 is none of 3"),
        ("segments", "head_tokens", 0, -1, "-1 of row 0 must be ≥ 0"),
        ("segments", "head_tokens", 0, MAX_ANSWER + 1, f"{MAX_ANSWER + 1} of row 0 is over {MAX_ANSWER}"),
        ("segments", "num_steps", 2, 99, "99 of row 2 goes beyond the"),
        ("segments", "head", 1, nan, "nan of row 1 must be finite where there are tokens"),
        ("segments", "request", 0, 2, "of row 0 is out of order"),
        ("events", "request", 0, -1, "-1 of row 0 is none of 3"),
        ("events", "kind", 0, 99, "99 of row 0 is unknown"),
        ("events", "time", 0, nan, "nan of row 0 must be finite"),
    ],
)
def test_the_first_wrong_entry_is_named(table: str, column: str, row: int, value: float, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared below)
        check_log(changed(table, column, row, value))
    said = str(caught.value)
    assert said.startswith(f"{table}: ")
    assert words in said


def test_tokens_need_times_and_times_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="neither segments nor measured times"):
        check_log(replace(LOG, segments=None))
    with pytest.raises(ValueError, match="segments: the log has no runs"):
        check_log(replace(LOG, runs=None))
    times = LOG.token_times()
    with pytest.raises(ValueError, match="measured: time nan of row 5 must be finite"):
        check_log(replace(LOG, measured=TokenTimes(with_entry(times.times, 5, nan), times.offsets)))
    with pytest.raises(ValueError, match="delivered: not as many times as tokens"):
        check_log(replace(LOG, delivered=TokenTimes(times.times[:3], np.array([0, 1, 2, 3]))))
