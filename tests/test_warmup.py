"""Warm-up removal: where MSER-5 cuts, and what is left of a run."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.aggregate import Row, rows
from experiments.cells import cell_workload, cells, run_cell, warmup_end
from experiments.compare import run_compare
from experiments.report import warmup_note
from experiments.runner import run_study
from experiments.study import StudySpec
from experiments.study_files import make_study
from experiments.study_options import study_from
from simulator.metrics import SLO, User, class_values, per_request, summary_values
from simulator.metrics.replica import is_unstable
from simulator.metrics.warmup import found_by_arrivals, mser5, user_without_warmup, warmup_by_mser5, without_warmup
from simulator.token_log import EventKind, StepRuns
from tests.hand_logs import FAILED, UNFINISHED, events_of, log_of, queue_log, row, same
from tests.hand_logs import rows as hand_rows

FIELDS = {
    "workload": {"lengths": "azure-conv"},
    "rates": [6],
    "window": 30,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs", "chunked_prefill:token_budget=512"],
    "slo": {"ttft": 1.0, "tbt": 0.1},
}


def slow_errors(series):
    """By the number of observations cut, the statistic with every sum written out."""
    means = [sum(series[i : i + 5]) / 5 for i in range(0, len(series) - len(series) % 5, 5)]
    errors = {0: math.inf}
    for d in range(min(len(means) // 2, len(means) - 5) + 1):
        left = means[d:]
        mean = sum(left) / len(left)
        errors[5 * d] = sum((y - mean) ** 2 for y in left) / len(left) ** 2
    return errors


@given(st.integers(0, 120).flatmap(lambda n: st.lists(st.integers(-20, 20), min_size=n, max_size=n)))
def test_mser5_is_the_definition(series):
    errors = slow_errors(series)
    assert errors[mser5(series)] == pytest.approx(min(errors.values()), rel=1e-9, abs=1e-9)


def test_mser5_cuts_a_known_transient_and_nothing_else():
    assert mser5([100.0] * 40 + [1.0] * 160) == 40
    assert mser5([100.0] * 42 + [1.0] * 158) == 45
    assert mser5([3.0] * 200) == 0
    assert mser5([9.0] * 5 + [1.0] * 24) == 0  # 29 observations are too few to cut any
    assert mser5([9.0] * 5 + [1.0] * 25) == 5
    assert mser5(range(200)) == 100  # it never settles: half is the most that goes


def test_mser5_finds_the_end_of_an_exponential_transient_in_noise():
    rng = np.random.default_rng(0)
    t = np.arange(2000)
    cuts = [mser5(50 * np.exp(-t / 100) + rng.normal(10, 5, len(t))) for _ in range(50)]
    assert 150 < np.median(cuts) < 400  # the transient is below a third of the noise from 340 on
    untouched = [mser5(rng.normal(10, 5, 2000)) for _ in range(50)]
    assert np.median(untouched) < 100


def test_requests_find_who_came_before_and_has_not_left():
    log = log_of([row(0, [4.0]), row(1, [2.0]), row(2, [], FAILED, 2.0), row(3, [], UNFINISHED), row(5, [6.0])])
    assert found_by_arrivals(log).tolist() == [0, 1, 2, 1, 1]  # who ends at 2 is still there at 2


def test_the_warmup_ends_with_the_arrival_of_the_first_request_that_is_kept():
    arrival = [float(i) for i in range(100)]
    end = [100.0] * 20 + [a + 0.5 for a in arrival[20:]]  # 0, 1, …, 19 in the system, then 20 for good
    log = queue_log(arrival, arrival, end)
    assert found_by_arrivals(log).tolist() == [*range(20), *[20] * 80]
    assert warmup_by_mser5(log) == 20.0
    steady = [5.0 + a for a in arrival]
    assert warmup_by_mser5(queue_log(steady, steady, [a + 0.5 for a in steady])) == 0.0


TIMELINE = log_of(
    [row(0.0, [3.0, 7.0]), row(2.0, [8.0]), row(4.0, [5.0, 9.0]), row(6.0, [12.0])],
    window=6.0,
    events=events_of([(t, i, EventKind.ADMIT) for t, i in ((1.0, 0), (4.5, 2), (6.0, 1), (10.0, 3))]),
    runs=StepRuns(
        start=np.array([1.0, 4.5, 10.0]),
        num_steps=np.array([2, 9, 2]),
        step_time=np.array([1.0, 0.5, 1.0]),
        step_growth=np.zeros(3),
        prefill_tokens=np.zeros(3, dtype=np.int64),
        num_decodes=np.ones(3, dtype=np.int64),
        kv_tokens=np.ones(3, dtype=np.int64),
        kv_blocks=np.array([9, 5, 1]),
        kv_blocks_end=np.array([9, 6, 2]),
    ),
    total_blocks=10,
)


def test_what_is_left_is_judged_as_by_hand():
    values = summary_values(TIMELINE, SLO(ttft=5.0), User(speed=1.0, alpha=1.0), since=3.0)
    assert values["num_requests"] == 2
    assert (values["window"], values["span"]) == (2.0, 8.0)  # from the arrival at 4
    assert values["rate"] == 0.5
    assert values["ttft_mean"] == (1.0 + 6.0) / 2
    assert values["e2e_mean"] == (5.0 + 6.0) / 2
    assert values["tbt_mean"] == 4.0
    assert values["goodput_requests_per_s_window"] == 1 / 2.0
    assert values["slo_attainment"] == 0.5
    # idle: token 2 at 9, due at 4 + 2; token 1 at 12, due at 6 + 1
    assert values["smooth_goodput_tokens_per_s_window"] == ((2 - 3.0) + (1 - 5.0)) / 2.0
    assert values["utilisation"] == (4.5 + 2.0) / 8.0
    assert values["peak_kv"] == 0.6
    # waiting after 4: request 1 (removed) until 6, request 2 until 4.5, request 3 from 6 to 10
    assert values["mean_queue"] == (2.0 + 0.5 + 4.0) / 8.0
    assert values["scheduling_delay_mean"] == (0.5 + 4.0) / 2


def test_who_waited_is_said_of_each_request_that_is_left():
    kept = per_request(without_warmup(TIMELINE, 3.0))
    assert kept["scheduling_delay"].tolist() == [0.5, 4.0]
    assert kept["num_preemptions"].tolist() == [0, 0]


def test_an_iteration_that_runs_across_the_start_counts_for_what_is_left_of_it():
    values = summary_values(TIMELINE, since=5.0)
    assert (values["num_requests"], values["span"]) == (1, 6.0)
    assert values["utilisation"] == (3.0 + 2.0) / 6.0


def test_the_window_starts_with_the_first_arrival_that_is_left_and_nothing_is_left_of_nothing():
    assert without_warmup(TIMELINE, 2.0).arrival.tolist() == [2.0, 4.0, 6.0]  # who arrives at the cut is kept
    assert without_warmup(TIMELINE, 2.0).window == 4.0
    later = replace(TIMELINE, arrival=TIMELINE.arrival + 10.0)
    assert without_warmup(later, 14.0).window == 2.0
    nothing = summary_values(TIMELINE, since=7.0)
    assert nothing["num_requests"] == 0
    assert math.isnan(nothing["mean_queue"])
    assert math.isnan(nothing["smooth_goodput_tokens_per_s_window"])


@given(hand_rows(min_size=1))
def test_a_warmup_that_removes_nobody_changes_nothing(requests):
    log = log_of(requests)
    first = float(log.arrival[0])
    assert without_warmup(log, first) is log
    assert same(summary_values(log, since=first), summary_values(log))


@given(hand_rows(min_size=1), st.integers(0, 100))
@example([row(6.25, [101.0], end=201.5), row(7.0, [], UNFINISHED)], 7)  # who is removed is the last to end
def test_the_columns_of_who_is_left_are_those_of_the_whole_run(requests, since):
    log = log_of([*requests, row(200.0, [201.0])])
    user = User(speed="age")
    kept = per_request(without_warmup(log, since), None, user_without_warmup(user, log, since))
    whole = per_request(log, None, user)[log.arrival >= since].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, whole, check_names=False)


def test_instability_is_judged_on_the_whole_run():
    arrival = [i / 2 for i in range(400)]
    end = [float(i + 1) for i in range(400)]
    log = queue_log(arrival, [e - 1 for e in end], end)
    assert is_unstable(log)
    assert not is_unstable(without_warmup(log, 199.0))
    assert summary_values(log, since=199.0)["unstable"] == 1.0
    classes = class_values(replace(log, class_names=("one",)), since=199.0)
    assert classes["one"]["unstable"] == 1.0


def test_goodputs_of_classes_add_up_without_warmup_too():
    log = replace(TIMELINE, request_class=np.array([0, 1, 0, 1]), class_names=("a", "b"))
    key = "smooth_goodput_tokens_per_s_window"
    parts = class_values(log, since=1.0)
    assert sum(part[key] for part in parts.values()) == pytest.approx(summary_values(log, since=1.0)[key])
    assert parts["a"]["num_requests"] == 1


@pytest.fixture(scope="module")
def judged() -> tuple[StudySpec, list[Row]]:
    study = make_study({**FIELDS, "seeds": 2, "warmup": "mser5"}, "x")
    return study, rows(run_study(study))


def test_policies_keep_the_same_requests_under_mser5(judged):
    study, (fcfs, chunked) = judged
    for name in ("num_warmup_requests", "num_requests", "window", "warmup"):
        assert fcfs.samples(name) == chunked.samples(name)
    for i, seed in enumerate(study.seeds):
        end = warmup_end(study, 6.0, seed)
        workload = cell_workload(study, 6.0, seed)
        assert end > 0
        assert fcfs.samples("num_requests")[i] == (workload.arrival >= end).sum()


def test_the_cut_is_a_matter_of_the_cell_alone(judged):
    study, (_, chunked) = judged
    alone = study.model_copy(update={"policies": study.policies[1:], "seeds": (1,)})
    again = run_cell(alone, cells(alone)[0])
    assert same(again.values, chunked.runs[1].values)


def test_seconds_of_warmup_reach_every_file_and_the_report(tmp_path):
    study = make_study({**FIELDS, "warmup": 10}, "x")
    _, table = run_compare(study, tmp_path / "out")
    requests = pd.read_parquet(tmp_path / "out" / "requests")
    assert requests.arrival.min() >= 10
    assert len(requests) == sum(row.values["num_requests"].mean for row in table)
    assert table[0].latencies("ttft").sum() == table[0].values["num_requests"].mean
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary.warmup.tolist() == [10, 10]
    share = summary.num_warmup_requests / (summary.num_warmup_requests + summary.num_requests)
    assert warmup_note(study, table) == (
        "Warm-up, the same for every policy: requests of the first 10 s of a run are not judged, "
        f"{100 * share[0]:.1f} % of them."
    )
    assert warmup_note(make_study(FIELDS, "x"), table) == ""


def test_the_bound_is_that_of_the_requests_that_are_left():
    study = make_study({**FIELDS, "rates": [1], "window": 60, "warmup": 20}, "x")
    for result in run_study(study):
        assert 0.9 < result.values["smooth_goodput_share_of_bound"] <= 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warmup": -1}, "warmup: should be seconds, 0 or more, or mser5, got -1"),
        ({"warmup": "welch"}, "warmup: should be seconds, 0 or more, or mser5, got 'welch'"),
        ({"warmup": float("inf")}, "warmup: should be seconds, 0 or more, or mser5, got inf"),
        ({"warmup": 30}, "warmup: 30 s leave nothing of a window of 30 s"),
        ({"warmup": 5, "max_concurrency": 4}, "warmup: in a closed loop"),
        ({"warmup": 5, "rates": ["inf"], "window": None, "requests": 9}, "warmup: at an infinite rate"),
        ({"warmup": 5, "rates": [], "workload": {"trace": "t.csv"}}, "warmup: a trace at its own rate"),
    ],
)
def test_a_warmup_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make_study({**FIELDS, **change}, "x")


def test_a_warmup_that_leaves_no_request_is_refused():
    study = make_study({**FIELDS, "window": None, "requests": 5, "warmup": 1000}, "x")
    with pytest.raises(ValueError, match="warmup: every request of seed 0 arrives before 1000 s"):
        run_study(study)


def test_the_option_takes_seconds_or_the_name():
    assert study_from(None, {"warmup": "60"}).warmup == 60.0
    assert study_from(None, {"warmup": "mser5"}).warmup == "mser5"
    with pytest.raises(ValueError, match=r"^--warmup: should be seconds, 0 or more, or mser5, got 'x'$"):
        study_from(None, {"warmup": "x"})
