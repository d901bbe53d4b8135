"""Several classes of requests in one workload, and the metrics of each."""

import json
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.aggregate import Row, json_row
from experiments.compare import run_compare
from experiments.study import StudySpec
from experiments.study_files import make_study
from experiments.table import class_table
from policies import make_policy
from simulator import simulate
from simulator.metrics import SLO, QoE, User, class_values, per_request, summary_values
from simulator.metrics.periods import last_event
from simulator.metrics.selection import of_requests
from simulator.workload import PoissonArrivals, RequestClass, load_length_table, mixed_workload
from simulator.workload.mixed import draw_classes
from tests.hand_logs import log_of
from tests.hand_logs import rows as hand_rows
from tests.support import Machine, a100_like

CHAT = RequestClass(name="chat", lengths="sharegpt", share=3, slo=SLO(ttft=1.0, tbt=0.05), speed="age")
CODE = RequestClass(name="code", lengths="azure-code", slo=SLO(ttft=0.3), speed=20.0, expected_ttft=0.5)
STUDY = {
    "workload": {"classes": [CHAT.model_dump(mode="json"), CODE.model_dump(mode="json")]},
    "rates": [6],
    "requests": 60,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs", "edf"],
    "seeds": 2,
}


def mixed(n: int = 200, seed: int = 0):
    return mixed_workload(PoissonArrivals(5.0), [CHAT, CODE], num_requests=n, seed=seed)


def test_each_request_is_that_of_its_class():
    load = mixed()
    assert load.class_names == ("chat", "code")
    assert load.class_slos == (CHAT.slo, CODE.slo)
    code = load.request_class == 1
    prompt, output = load_length_table("azure-code").draw(200)
    assert load.prompt_length[code].tolist() == prompt[code].tolist()
    assert load.output_length[code].tolist() == output[code].tolist()
    assert set(load.speed[code]) == {20.0}
    assert set(load.speed[~code]) == {1 / s for s in (0.196, 0.230, 0.240, 0.249, 0.264)}
    assert set(load.expected_ttft[code]) == {0.5}
    assert np.isnan(load.expected_ttft[~code]).all()


def test_classes_come_in_their_shares():
    kind = draw_classes([3, 1], 40_000)
    assert (kind == 1).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 40_000))
    assert draw_classes([0.75, 0.25], 40_000).tolist() == kind.tolist()


@settings(max_examples=20)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5))
def test_longer_workload_starts_with_the_shorter_one(few, more, seed):
    few, more = sorted((few, more))
    short, long = mixed(few, seed), mixed(more, seed)
    for column in ("arrival", "prompt_length", "output_length", "request_class", "speed"):
        assert getattr(long, column)[:few].tolist() == getattr(short, column).tolist()


def test_one_class_is_the_plain_workload_in_length_and_time():
    alone = mixed_workload(PoissonArrivals(5.0), [CODE], num_requests=50)
    prompt, _ = load_length_table("azure-code").draw(50)
    assert alone.prompt_length.tolist() == prompt.tolist()


@pytest.mark.parametrize("classes", [[], [CHAT, CHAT]])
def test_classes_need_names_of_their_own(classes):
    with pytest.raises(ValueError, match="needs classes of different names"):
        mixed_workload(PoissonArrivals(5.0), classes, num_requests=5)


@pytest.fixture(scope="module")
def log():
    return simulate(mixed(), make_policy("fcfs"), Machine(a100_like(), kv_capacity_tokens=20_000))


def test_requests_alone_keep_their_tokens_and_events(log):
    ids = np.flatnonzero(log.request_class == 1)
    part = of_requests(log, ids)
    whole, some = log.token_times(), part.token_times()
    expected = [whole.times[whole.offsets[i] : whole.offsets[i + 1]].tolist() for i in ids]
    assert [some.times[a:b].tolist() for a, b in zip(some.offsets, some.offsets[1:], strict=False)] == expected
    assert part.num_tokens().tolist() == log.num_tokens()[ids].tolist()
    for name in ("num_preemptions", "scheduling_delay", "ttft", "benefit"):
        assert per_request(part)[name].tolist() == per_request(log)[name].iloc[ids].tolist()


def test_all_requests_are_the_whole_run(log):
    everyone = of_requests(log, np.arange(log.num_requests))
    assert everyone == replace(log, until=last_event(log))
    measured = replace(log, measured=log.token_times(), segments=None, runs=None, events=None)
    assert of_requests(measured, np.arange(log.num_requests)) == replace(measured, until=last_event(log))


@given(hand_rows(min_size=1), st.data())
def test_users_of_a_measured_run_get_the_same_whether_their_class_is_looked_at_or_all(rows, data):
    def for_each(values):
        return data.draw(st.lists(st.sampled_from(values), min_size=len(rows), max_size=len(rows)))

    log = log_of(rows, request_class=np.array(for_each([0, 1])), class_names=("chat", "code"))
    log = replace(log, delivered=log.measured._replace(times=log.measured.times + 0.25))
    slo, user = SLO(ttft=1.0), User(speed="age", qoe=QoE(ttft=for_each([0.5, 4.0])))
    together, apart = per_request(log, slo, user), per_request(log, {"chat": slo, "code": slo}, user)
    pd.testing.assert_frame_equal(apart, together)
    since = data.draw(st.sampled_from([None, 30.0]))
    whole, classes = summary_values(log, slo, user, since), class_values(log, slo, user, since)
    for name in ("num_requests", "smooth_goodput_tokens_per_s_window", "effective_tokens_per_s_window"):
        assert sum(values[name] for values in classes.values()) == pytest.approx(whole[name], nan_ok=True), name


def test_a_run_of_one_class_may_have_slos_by_class(log):
    ids = np.flatnonzero(log.request_class == 0)
    alone = replace(of_requests(log, ids), class_names=("chat",))
    assert alone.counters == {}
    slo_met = per_request(alone, {"chat": CHAT.slo})["slo_met"]
    assert slo_met.tolist() == per_request(log, CHAT.slo)["slo_met"][ids].tolist()


def test_classes_add_up_to_the_run(log):
    slos = {"chat": CHAT.slo, "code": CODE.slo}
    whole, classes = summary_values(log, slos), class_values(log, slos)
    assert list(classes) == ["chat", "code"]
    for name in ("num_requests", "num_tokens", "num_preemptions", "goodput_requests_per_s_window"):
        assert whole[name] == pytest.approx(sum(values[name] for values in classes.values())), name
    for name in ("smooth_goodput_tokens_per_s_window", "goodput_tokens_per_s_window", "benefit_finished_tokens"):
        assert whole[name] == pytest.approx(sum(values[name] for values in classes.values())), name
    assert all(values["utilisation"] == pytest.approx(whole["utilisation"], rel=0.1) for values in classes.values())


def test_each_class_is_judged_by_its_own_slo(log):
    met = per_request(log, {"chat": CHAT.slo, "code": CODE.slo})["slo_met"]
    code = log.request_class == 1
    assert met[code].tolist() == per_request(log, CODE.slo)["slo_met"][code].tolist()
    assert met[~code].tolist() == per_request(log, CHAT.slo)["slo_met"][~code].tolist()


def test_a_class_without_an_slo_has_no_goodput(log):
    chat, code = class_values(log, {"chat": CHAT.slo}).values()
    assert chat["slo_attainment"] > 0.0
    assert isnan(code["slo_attainment"])
    assert isnan(code["goodput_requests_per_s_window"])


def test_one_slo_for_all_is_the_same_by_class(log):
    slo, user = SLO(ttft=0.5, tbt=0.05), User(speed="age")
    by_class = summary_values(log, {"chat": slo, "code": slo}, user)
    assert by_class == pytest.approx(summary_values(log, slo, user), nan_ok=True)


def test_class_that_nobody_is_of_has_no_latencies():
    load = mixed_workload(PoissonArrivals(5.0), [CHAT, replace_share(CODE, 1e-9)], num_requests=5)
    values = class_values(simulate(load, make_policy("fcfs"), Machine(a100_like())), None)["code"]
    assert (values["num_requests"], values["num_tokens"]) == (0, 0)
    assert isnan(values["ttft_mean"])


def replace_share(kind: RequestClass, share: float) -> RequestClass:
    return kind.model_copy(update={"share": share})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    out = tmp_path_factory.mktemp("mixed") / "out"
    return out, run_compare(StudySpec.model_validate(STUDY), out)[1]


def test_study_writes_a_row_for_each_class(written):
    out, _ = written
    frame = pd.read_csv(out / "by_class.csv")
    assert list(zip(frame.policy, frame.request_class, strict=True)) == [
        (policy, name) for policy in ("fcfs", "edf") for name in ("chat", "code")
    ]
    assert frame.rate.tolist() == [float(rate) for rate in STUDY["rates"] for _ in range(4)]
    assert set(pd.read_csv(out / "summary.csv").columns) - set(frame.columns) == {
        f"{name}{end}"
        for name in (
            "share_under_pressure",
            "warmup",
            "num_warmup_requests",
            "smooth_goodput_bound_tokens_per_s",
            "smooth_goodput_bound_tokens_per_s_window",
            "smooth_goodput_share_of_bound",
        )
        for end in ("", "_half_width")
    }
    pd.testing.assert_frame_equal(frame, pd.read_parquet(out / "by_class.parquet"), check_dtype=False)
    run_compare(StudySpec.model_validate({**STUDY, "requests": 5, "seeds": 1}), out)  # an earlier result is replaced


def test_json_has_the_classes_of_a_row(written):
    plain = json_row(written[1][0])
    assert list(plain["classes"]) == ["chat", "code"]
    assert sum(each["num_requests"] for each in plain["classes"].values()) == plain["num_requests"] == 60
    assert plain["classes"]["code"]["ttft"]["mean"] > 0
    json.dumps(plain, allow_nan=False)


def test_table_by_class_is_for_several_classes_only(written):
    _, table = written
    found = class_table(table, 120)
    assert found is not None
    assert found.row_count == 4
    assert class_table([row._replace(classes={}) for row in table], 120) is None


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "workload.classes: "),
        ([{"name": "a", "lengths": "lmsys"}] * 2, "workload.classes: a is the name of two classes"),
        ([{"name": "a", "lengths": "lmsys", "share": 0}], "workload.classes.0.share: should be greater than 0, got 0"),
        ([{"name": "a"}], "workload.classes.0.lengths: is missing"),
        ([{"name": "a", "lengths": "lmsys", "slo": {}}], "workload.classes.0.slo: an SLO needs at least one bound"),
        ([{"name": "a", "lengths": "lmsys", "sped": 3}], "workload.classes.0.sped: unknown field"),
        ([CHAT, {"name": "b", "lengths": "lmsys"}], "class b has no SLO while others do"),
    ],
)
def test_wrong_class_is_named(classes, message):
    with pytest.raises(ValueError, match=r"^my\.yaml") as caught:
        make_study({**STUDY, "workload": {"classes": classes}}, "my.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
