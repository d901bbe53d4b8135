"""What users expect and how long they wait: drawn per request, the same for the scheduler and for the metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cells import cell_workload, cells, run_cell
from experiments.contender import contender
from experiments.people import judges
from experiments.study import StudySpec
from policies import make_policy
from simulator import EngineLimits, Status, simulate
from simulator.metrics import SLO, reading_speeds
from simulator.random_streams import uniform
from simulator.workload import Impatience, with_expectations, with_patience
from tests.support import ConstantLatency, Machine, workload

STUDY = {
    "workload": {"lengths": "azure-conv"},
    "rates": [8],
    "requests": 60,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs"],
    "slo": {"ttft": 0.2, "tbt": 0.1},
}


def study(**changes: object) -> StudySpec:
    return StudySpec.model_validate({**STUDY, **changes})


def test_expectations_fill_what_nobody_said():
    one, other = SLO(ttft=1.0), SLO(ttft=2.0)
    load = with_expectations(workload([0.0, 1.0], 5, 5), speed=np.array([3.0, np.nan]), slo=one)
    assert load.class_slos == (one,)
    again = with_expectations(load, speed=7.0, expected_ttft=0.5, slo=other)
    assert again.speed.tolist() == [3.0, 7.0]
    assert again.expected_ttft.tolist() == [0.5, 0.5]
    assert again.class_slos == (one,)


def test_expectation_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"request 1: speed -1\.0 must be positive"):
        with_expectations(workload([0.0, 1.0], 5, 5), speed=np.array([1.0, -1.0]))


def test_patience_is_drawn_from_the_named_stream_of_the_request():
    load = with_patience(workload([0.0] * 5, 5, 5), Impatience(mean=3.0), seed=4)
    assert load.patience[3] == -3.0 * np.log1p(-uniform(4, "patience", 3))
    constant = with_patience(load, Impatience(mean=3.0, distribution="constant"))
    assert constant.patience.tolist() == [3.0] * 5


def test_mean_patience_is_the_mean():
    patience = with_patience(workload([0.0] * 40_000, 5, 5), Impatience(mean=3.0)).patience
    assert patience.mean() == pytest.approx(3.0, rel=4 / np.sqrt(40_000))
    assert (patience > 3.0).mean() == pytest.approx(np.exp(-1), abs=4 * 0.5 / np.sqrt(40_000))


@given(st.floats(0.01, 1e6), st.sampled_from(["exponential", "constant"]))
def test_impatience_reads_as_it_is_written(mean, distribution):
    assert Impatience.parse(f"{distribution}:{mean!r}") == Impatience(mean=mean, distribution=distribution)
    assert Impatience.parse(repr(mean)) == Impatience(mean=mean)


@pytest.mark.parametrize("text", ["soon", "constant:", "weibull:3", "0", "-1", "inf", "nan"])
def test_impatience_that_cannot_be_read_is_named(text):
    with pytest.raises(ValueError, match=r"patience"):
        Impatience.parse(text)


def test_user_who_has_no_token_in_time_leaves():
    load = with_patience(workload([0.0, 0.0], 10, [5, 1]), Impatience(mean=2.5, distribution="constant"))
    log = simulate(load, make_policy("fcfs"), Machine(ConstantLatency(1.0)), limits=EngineLimits(max_num_seqs=1))
    assert log.status.tolist() == [Status.FINISHED, Status.DROPPED]
    assert log.reason == ("", "cancelled")


def test_scheduler_and_metrics_are_told_the_same():
    spec = study(user={"speed": "age", "qoe": {"ttft": 2.0}}, prediction_sigma=0.0)
    load = cell_workload(spec, 8.0, 0)
    assert load.speed.tolist() == reading_speeds("age", 60).tolist()
    assert load.expected_ttft.tolist() == [2.0] * 60
    assert load.predicted_output_length.tolist() == load.output_length.tolist()
    assert load.class_slos == (spec.slo,)
    slo, user = judges(load, spec)
    assert slo == spec.slo
    assert user.speeds(60).tolist() == load.speed.tolist()
    assert user.qoe.expected_ttft(load.prompt_length).tolist() == [2.0] * 60


def test_deadline_and_qoe_policies_work_out_of_the_box():
    policies = ["edf", "least_slack", "andes", "drop_on_miss:on=ttft", "sjf_predicted"]
    spec = study(policies=policies, prediction_sigma=0.3)
    for cell in cells(spec):
        assert run_cell(spec, cell).values["num_requests"] == 60


def test_impatient_users_leave_a_crowd():
    crowd = study(rates=["inf"], requests=400, impatience=2)
    values = run_cell(crowd, cells(crowd)[0]).values
    assert values["num_dropped"] > 0
    assert values["num_dropped"] + values["num_finished"] == 400
    assert study(impatience="constant:2").impatience == Impatience(mean=2.0, distribution="constant")


def test_delivery_is_the_studys_unless_the_policy_says():
    assert contender("fcfs", EngineLimits(), "pace").delivery.name == "pace"
    held = contender("chunked_prefill:token_budget=64@hold_tokens:gap=0.5", EngineLimits(), "pace")
    assert (held.policy.spec, held.delivery.name) == ("chunked_prefill:token_budget=64", "hold_tokens")
    assert held.delivery.model_dump() == {"gap": 0.5}


def test_holding_tokens_improves_goodput_and_not_smooth_goodput():
    """The first anomaly of arXiv 2410.14257."""
    spec = study(policies=["fcfs", "fcfs@hold_tokens:gap=0.1"])
    plain, held = (run_cell(spec, cell).values for cell in cells(spec))
    assert held["slo_attainment"] > plain["slo_attainment"]
    assert held["ttft_mean"] == plain["ttft_mean"]
    assert held["smooth_goodput_tokens_per_s_window"] <= plain["smooth_goodput_tokens_per_s_window"]


def test_delivery_for_all_is_that_for_each():
    for_all, for_each = study(delivery="pace:speed=8"), study(policies=["fcfs@pace:speed=8"])
    values = run_cell(for_each, cells(for_each)[0]).values
    assert run_cell(for_all, cells(for_all)[0]).values == pytest.approx(values, rel=0, abs=0, nan_ok=True)
