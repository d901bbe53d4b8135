"""A study from end to end: same numbers every time, wherever its runs take place."""

import json
from math import inf, isnan, nan, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.aggregate import Row, json_row, rows, summary_frame
from experiments.cells import Cell, CellResult, cells
from experiments.compare import run_compare
from experiments.distributions import EDGES, NUM_BINS, count_latencies, exceedance
from experiments.intervals import Interval, interval, paired_difference
from experiments.labels import settings_note, short_names
from experiments.numbers import number, with_half_width
from experiments.report import notes
from experiments.runner import run_study
from experiments.study import StudySpec
from experiments.study_files import load_study
from experiments.table import result_table
from experiments.verdict import choice, scores, verdict
from simulator.metrics.latencies import gaps, ttft
from simulator.token_log import Status, TokenLog, TokenTimes
from tests.hand_logs import log_of, row

STUDY = StudySpec.model_validate(
    {
        "workload": {"lengths": "azure-conv"},
        "rates": [2, 8],
        "requests": 40,
        "profile": "a100-80gb/llama-3-8b/tp1",
        "policies": ["fcfs", "chunked_prefill:token_budget=512"],
        "seeds": 2,
        "slo": {"ttft": 1.0, "tbt": 0.1},
    }
)
EXACT_FILES = ["summary.csv", "summary.parquet", "runs.parquet", "latencies.parquet", "study.yaml"]


def result(policy: str, rate: float, seed: int, **values: float) -> CellResult:
    usual = {"window": 10.0, "goodput_requests_per_s_window": nan, "unstable": 0.0}
    return CellResult(Cell(0, policy, rate, seed), rate, usual | values, {})


def smooth(policy: str, rate: float, *samples: float, unstable: float = 0.0) -> list[CellResult]:
    key = "smooth_goodput_tokens_per_s_window"
    return [result(policy, rate, i, **{key: value, "unstable": unstable}) for i, value in enumerate(samples)]


def test_interval_is_students() -> None:
    mean, half_width = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half_width == pytest.approx(4.302652729911275 / sqrt(3))  # t at 97.5 % with 2 degrees of freedom
    assert interval([5.0, 5.0]) == Interval(5.0, 0.0)


def test_interval_of_one_run_has_no_width_and_nan_spreads() -> None:
    assert interval([4.0]).mean == 4.0
    assert isnan(interval([4.0]).half_width)
    assert isnan(interval([4.0, nan]).mean)
    with pytest.raises(ValueError, match="at least one replication"):
        interval([])


def test_pairing_removes_what_the_runs_share() -> None:
    assert paired_difference([11.0, 21.0, 31.0], [10.0, 20.0, 30.0]) == Interval(1.0, 0.0)
    with pytest.raises(ValueError, match="got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])


def test_what_is_at_an_edge_but_for_a_rounding_counts_as_at_it() -> None:
    log = log_of([row(1234.567, [1234.567 + 0.1 * i for i in range(1, 200)])])
    gaps = np.diff(log.token_times().times)
    assert gaps.min() < 0.1 < gaps.max()
    at = int(np.searchsorted(EDGES, 0.1 * (1 + 1e-9), side="right")) - 1
    assert EDGES[at] == pytest.approx(0.1)
    assert count_latencies(log)["tbt"][at] == 198


def test_counted_latencies_are_those_of_the_metrics() -> None:
    times = TokenTimes(np.array([1.0, 1.5, 4.0, 2.0, 2.25]), np.array([0, 3, 3, 5]))
    ones = np.ones(3, dtype=np.int64)
    log = TokenLog(
        arrival=np.array([0.5, 0.6, 0.7]),
        prompt_length=ones,
        output_length=ones * 3,
        status=np.full(3, int(Status.FINISHED)),
        end=np.array([4.0, nan, 2.25]),
        reason=("", "", ""),
        request_class=ones * 0,
        class_names=("default",),
        client=ones * -1,
        window=0.2,
        measured=times,
    )
    counts = count_latencies(log)
    for name, values in (("ttft", ttft(times, log.arrival)), ("tbt", gaps(times).values)):
        values = values[np.isfinite(values)]
        assert counts[name].sum() == len(values)
        beyond = (values[:, None] > EDGES * (1 + 1e-9)).mean(axis=0)
        assert exceedance(counts[name]) == pytest.approx(beyond)


def test_latencies_beyond_the_bins_are_counted_at_the_ends() -> None:
    from experiments.distributions import _count

    counts = _count(np.array([0.0, 1e-9, 1e9]))
    assert (counts[0], counts[NUM_BINS]) == (2, 1)


def test_numbers_show_what_is_worth_reading() -> None:
    assert [number(x) for x in (1889.4, 0.28671, 100.0, nan, inf, 0.0)] == ["1889", "0.287", "100", "–", "inf", "0"]
    assert with_half_width(0.0895, 0.00411) == "0.0895 ±0.0041"
    assert with_half_width(1889.3, 95.2) == "1889 ±95"
    assert with_half_width(100.0, 0.0) == "100"


def test_short_names_tell_policies_apart() -> None:
    assert short_names(["a:x=1", "b"]) == {"a:x=1": "a", "b": "b"}
    assert short_names(["a:x=1", "a"]) == {"a:x=1": "a 1", "a": "a"}
    assert short_names(["a:x=1", "a:y=1"]) == {"a:x=1": "a:x=1", "a:y=1": "a:y=1"}
    assert settings_note(["a:x=1:y=2", "b"]) == "a: x=1, y=2"


def test_verdict_names_the_choice_each_at_its_best_rate() -> None:
    table = rows(
        [*smooth("a", 1, 5.0, 5.2), *smooth("b", 1, 6.0, 6.2), *smooth("a", 2, 9.0, 9.2), *smooth("b", 2, 1, 1)]
    )
    assert verdict(table) == "Smooth goodput chooses a at 2 req/s over b at 1 req/s (9.10 and 6.10 tokens/s)."


def test_verdict_compares_stable_rates_where_there_are_any() -> None:
    table = rows([*smooth("a", 1, 5.0), *smooth("a", 2, 9.0, unstable=1.0), *smooth("b", 1, 6.0, unstable=1.0)])
    assert verdict(table).startswith("Smooth goodput chooses b over a at 1 req/s (6 and 5 tokens/s).")


def test_verdict_sees_no_difference_within_the_paired_interval() -> None:
    table = rows([*smooth("a", 1, 5.0, 8.0), *smooth("b", 1, 6.0, 6.2)])
    assert verdict(table) == "Smooth goodput sees no difference between a and b (6.50 and 6.10 tokens/s)."


def test_verdict_of_single_runs_ignores_one_percent() -> None:
    assert "no difference" in verdict(rows([*smooth("a", 1, 100.0), *smooth("b", 1, 100.9)]))
    assert "chooses b over a" in verdict(rows([*smooth("a", 1, 100.0), *smooth("b", 1, 101.1)]))


def test_verdict_of_several_names_the_winner_or_who_ties() -> None:
    a, b, c = smooth("a", 1, 5.0, 5.2), smooth("b", 1, 6.0, 6.2), smooth("c", 1, 9.0, 9.2)
    table = rows([*a, *b, *c])
    assert verdict(table) == "Smooth goodput chooses c over b and 1 more (9.10 and 6.10 tokens/s)."
    tied = rows([*a, *b, *smooth("c", 1, 6.0, 6.2)])
    words = "Smooth goodput sees no difference between b and c (6.10 and 6.10 tokens/s), ahead of 1 more."
    assert verdict(tied) == words
    wide = rows([*smooth("a", 1, 5.0, 8.0), *b, *smooth("c", 1, 6.4, 6.2)])
    assert verdict(wide) == "Smooth goodput sees no difference between a, c and b (6.50 to 6.10 tokens/s)."


def test_titles_say_the_choice_the_tie_or_who_is_in_it() -> None:
    a, b, c = smooth("a", 1, 5.0, 5.2), smooth("b", 1, 6.0, 6.2), smooth("c", 1, 6.0, 6.2)
    for results, words in (
        ([*a, *b], " chooses b"),
        ([*b, *c], " sees no difference"),
        ([*a, *b, *c], " chooses b or c"),
        ([*a, *b, *c, *smooth("d", 1, 6.0, 6.2)], ": 3 of 4 tie"),
    ):
        table = rows(results)
        assert choice(table, scores(table)[0]) == f"Smooth goodput{words}"


def test_an_unstable_row_is_called_so_wherever_it_appears() -> None:
    study = STUDY.model_copy(update={"rates": (1.0, 30.0), "requests": 200, "policies": ("fcfs",)})
    stable, unstable = table = rows(run_study(study))
    assert [run.values["unstable"] for run in stable.runs] == [0.0, 0.0]
    assert [run.values["unstable"] for run in unstable.runs] == [1.0, 1.0]
    assert (stable.unstable, unstable.unstable) == (False, True)
    assert [json_row(row)["unstable"] for row in table] == [False, True]
    assert [json_row(row)["unstable_share"] for row in table] == [0.0, 1.0]
    assert list(summary_frame(table).unstable) == [0.0, 1.0]
    assert list(result_table(table, 120).columns[1].cells) == ["1", "30*"]
    assert "Unstable (*): fcfs from 30 req/s on;" in verdict(table)


def test_seeds_that_change_nothing_are_one_sample_and_that_is_said(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    lines = [f"2024-05-10 00:00:{second:02}.5,{100 + second},20" for second in range(30)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    fields = STUDY.model_dump() | {"workload": {"trace": str(trace)}, "rates": (), "requests": None, "seeds": 3}
    study = StudySpec.model_validate(fields)
    assert notes(study, rows(run_study(study)))[-1].startswith(
        "Nothing here is random: all 3 seeds ran the same. They are one sample, so there is no ±. Requests arrive"
    )
    one = study.model_copy(update={"seeds": (0,)})
    assert notes(one, rows(run_study(one)))[-1].startswith("Requests arrive for 29 s;")
    drawn = STUDY.model_copy(update={"rates": (2.0,)})
    assert notes(drawn, rows(run_study(drawn)))[-1].startswith("± is the half-width of the 95 % interval over 2 seeds.")


def test_verdict_says_from_which_rate_a_policy_is_unstable() -> None:
    runs = [*smooth("a", 1, 1.0), *smooth("b", 1, 2.0), *smooth("a", 2, 1.0, unstable=1.0), *smooth("b", 2, 1.0)]
    assert "Unstable (*): a from 2 req/s on;" in verdict(rows(runs))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    out = tmp_path_factory.mktemp("results") / "deep" / "compare"
    return out, run_compare(STUDY, out)[1]


def test_output_folder_holds_what_it_should(written: tuple[Path, list[Row]]) -> None:
    out, table = written
    assert sorted(p.name for p in out.iterdir()) == sorted([*EXACT_FILES, "meta.json", "figures", "requests"])
    assert {p.name for p in (out / "figures").iterdir()} == {"goodput.png", "latencies.png"}
    assert not [p for p in out.parent.iterdir() if p != out]
    summary = pd.read_csv(out / "summary.csv")
    assert list(summary.policy) == [row.policy for row in table]
    assert list(summary.rate) == [2, 2, 8, 8]
    pd.testing.assert_frame_equal(summary, pd.read_parquet(out / "summary.parquet"), check_dtype=False)
    requests = pd.read_parquet(out / "requests")
    assert len(requests) == 40 * 8
    assert requests.groupby(["policy", "rate", "seed"]).size().eq(40).all()
    assert len(pd.read_parquet(out / "runs.parquet")) == 8


def test_same_study_gives_the_same_bytes_from_its_own_file(written: tuple[Path, list[Row]], tmp_path: Path) -> None:
    out, _ = written
    again = tmp_path / "again"
    run_compare(load_study(out / "study.yaml"), again, jobs=2)
    names = [str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and p.name != "meta.json"]
    assert len(names) == len(EXACT_FILES) + 2 + 8
    for name in names:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_workers_change_nothing() -> None:
    here, there = run_study(STUDY, jobs=1), run_study(STUDY, jobs=2)
    assert [r.cell for r in here] == [r.cell for r in there] == cells(STUDY)
    assert json.dumps([json_row(row) for row in rows(here)]) == json.dumps([json_row(row) for row in rows(there)])


def test_policies_of_one_rate_and_seed_get_the_same_workload(written: tuple[Path, list[Row]]) -> None:
    requests = pd.read_parquet(written[0] / "requests")
    one = requests[(requests.rate == 2) & (requests.seed == 0)]
    fcfs, chunked = (one[one.policy == policy].reset_index() for policy in STUDY.policies)
    pd.testing.assert_frame_equal(fcfs[["arrival", "prompt_length"]], chunked[["arrival", "prompt_length"]])


def test_rows_hold_means_over_seeds_and_json_is_nested(written: tuple[Path, list[Row]]) -> None:
    row = written[1][0]
    plain = json_row(row)
    assert plain["ttft"]["mean"] == pytest.approx(np.mean(row.samples("ttft_mean")))
    for family in ("ttft", "tbt", "tpot", "e2e"):
        assert list(plain[family]) == list(plain["half_width"][family]) == ["mean", "p50", "p90", "p99"]
    assert set(plain) - set(plain["half_width"]) == {"policy", "num_seeds", "unstable", "half_width"}
    assert plain["num_requests"] == 40
    assert plain["half_width"]["rate"] == 0.0
    json.dumps(plain, allow_nan=False)


def test_an_earlier_result_is_replaced_and_a_failing_run_leaves_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = STUDY.model_copy(update={"rates": (2.0,), "requests": 5, "seeds": (0,)})
    run_compare(small, out)
    before = (out / "summary.csv").read_bytes()
    limits = small.limits.model_copy(update={"max_model_len": 2})
    with pytest.raises(ValueError, match="max_model_len 2"):
        run_compare(small.model_copy(update={"limits": limits}), out)
    assert (out / "summary.csv").read_bytes() == before
    run_compare(small.model_copy(update={"seeds": (1,)}), out)
    assert (out / "summary.csv").read_bytes() != before
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_of_the_users_is_never_deleted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = STUDY.model_copy(update={"rates": (2.0,), "requests": 5, "seeds": (0,)})
    run_compare(small, out)
    (out / "figures" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"figures.notes\.txt, which is no part of it"):
        run_compare(small, out)


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits(written: tuple[Path, list[Row]], width: int) -> None:
    from rich.console import Console

    console = Console(width=width, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(result_table(written[1], width))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith(("fcfs ", "chunked_prefill ")) for line in lines) == 4
    assert "…" not in console.export_text()


def test_azure_replay_finishes_every_request(shared: Path, tmp_path: Path) -> None:
    trace = shared / "traces" / "azure2023" / "AzureLLMInferenceTrace_conv.csv"
    fields = STUDY.model_dump() | {"workload": {"trace": str(trace)}, "rates": (), "requests": None, "seeds": (0,)}
    _, table = run_compare(StudySpec.model_validate(fields), tmp_path / "out")
    fcfs, chunked = table
    assert fcfs.values["num_finished"].mean == chunked.values["num_finished"].mean == 19366
    assert fcfs.rate == pytest.approx(5.53, abs=0.01)
    assert chunked.values["tbt_p99"].mean < fcfs.values["tbt_p99"].mean
    assert chunked.values["ttft_mean"].mean > fcfs.values["ttft_mean"].mean
