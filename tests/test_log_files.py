"""Token logs on disk read back identically, or the file that is wrong is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.log_files import load_log, save_log
from hardware_profiles import load_profile
from policies import make_policy
from simulator.policy import EngineLimits
from simulator.simulation import simulate
from simulator.token_log import Status, TokenLog, TokenTimes
from simulator.workload import PoissonArrivals, load_length_table, synthetic_workload


def simulated(policy: str = "fcfs", **options: object) -> TokenLog:
    workload = synthetic_workload(PoissonArrivals(5.0), load_length_table("azure-conv"), num_requests=30, seed=1)
    return simulate(workload, make_policy(policy), load_profile("a100-80gb/llama-3-8b/tp1"), **options)  # type: ignore[arg-type]


def measured(times: list[list[float]], delivered: bool = False) -> TokenLog:
    n = len(times)
    flat = np.array([t for row in times for t in row], dtype=np.float64)
    offsets = np.cumsum([0, *map(len, times)], dtype=np.int64)
    ints = np.arange(1, n + 1, dtype=np.int64)
    return TokenLog(
        arrival=np.linspace(0, 1, n),
        prompt_length=ints,
        output_length=ints,
        status=np.full(n, int(Status.FAILED), dtype=np.int64),
        end=np.full(n, np.nan),
        reason=tuple(f"grund „{i}“" for i in range(n)),
        request_class=ints * 0,
        class_names=("chat", "ü"),
        client=-ints,
        window=0.1,
        measured=TokenTimes(flat, offsets),
        delivered=TokenTimes(flat + 0.5, offsets) if delivered else None,
        meta={"tool": "x", "nested": {"a": [1, 2.5, None, True]}},
    )


@pytest.mark.parametrize(
    "log",
    [
        simulated(),
        simulated("chunked_prefill:token_budget=64", until=3.0),
        simulated(limits=EngineLimits(max_model_len=500), oversize="reject"),
        measured([[1.0, 2.0], [], [0.1]], delivered=True),
        measured([[], []]),
        replace(measured([[1.0], []]), until=2.5),
        measured([]),
    ],
)
def test_log_reads_back_identically(log: TokenLog, tmp_path: Path) -> None:
    save_log(log, tmp_path / "log")
    again = load_log(tmp_path / "log")
    assert again == log
    assert again.counters == log.counters


@settings(max_examples=25)
@given(times=st.lists(st.lists(st.floats(0, 1e6), max_size=4), max_size=6), delivered=st.booleans())
def test_any_measured_log_reads_back_identically(
    times: list[list[float]], delivered: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("logs") / "log"
    log = measured(times, delivered)
    save_log(log, folder)
    assert load_log(folder) == log


def test_same_log_gives_the_same_bytes_and_replaces_the_earlier_one(tmp_path: Path) -> None:
    save_log(simulated(), tmp_path / "a")
    save_log(measured([[1.0]]), tmp_path / "b")
    save_log(simulated(), tmp_path / "b")
    assert {p.name for p in (tmp_path / "b").iterdir()} == {p.name for p in (tmp_path / "a").iterdir()}
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_meta_that_json_would_change_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="pair does not"):
        save_log(replace(measured([[1.0]]), meta={"pair": (1, 2)}), tmp_path / "log")
    with pytest.raises(ValueError, match="plain JSON"):
        save_log(replace(measured([[1.0]]), meta={"path": tmp_path}), tmp_path / "log")
    assert not list(tmp_path.iterdir())


def test_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        save_log(measured([[1.0]]), tmp_path)


def test_damaged_and_foreign_folders_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with pytest.raises(ValueError, match=r"log: not a token log, requests\.parquet is missing"):
        load_log(folder)
    save_log(simulated(), folder)
    (folder / "segments.parquet").unlink()
    with pytest.raises(ValueError, match=r"segments\.parquet is missing"):
        load_log(folder)
    (folder / "segments.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match=r"segments\.parquet: is damaged") as caught:
        load_log(folder)
    assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"request": [1]}), folder / "segments.parquet")
    with pytest.raises(ValueError, match=r"segments\.parquet: column head is missing"):
        load_log(folder)
    pq.write_table(pa.table({"arrival": [1.0]}), folder / "requests.parquet")
    with pytest.raises(ValueError, match="not the requests of a token log"):
        load_log(folder)


def test_rows_of_times_must_be_those_of_the_requests(tmp_path: Path) -> None:
    save_log(measured([[1.0], [2.0]]), tmp_path / "a")
    save_log(measured([[1.0]]), tmp_path / "b")
    (tmp_path / "b" / "measured.parquet").replace(tmp_path / "a" / "measured.parquet")
    with pytest.raises(ValueError, match="1 rows for 2 requests"):
        load_log(tmp_path / "a")
