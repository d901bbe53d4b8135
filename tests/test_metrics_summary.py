"""Per-request columns and summaries against slow, obvious references, and what may not change them."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator.metrics
from simulator.metrics import SLO, QoE, User, per_request, summarize, summary_values
from simulator.metrics.per_request import request_columns
from simulator.token_log import TokenLog, TokenTimes
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED, Row, log_of, row, rows, same
from tests.slow_columns import reference

NAN = float("nan")
SLO_OF_ALL = SLO(ttft=20.0, tbt=25.0, tpot=12.0, e2e=90.0, speed=1 / 16)
users = st.builds(
    User,
    speed=st.sampled_from([0.25, 4.0]),
    origin=st.sampled_from(["submission", "first_token"]),
    abandonment=st.sampled_from(["patience", "ignore", "idle_until_drop"]),
    qoe=st.builds(
        QoE,
        version=st.sampled_from(["v2", "v1"]),
        ttft=st.sampled_from([None, 0.0, 12.5]),
        dropped=st.sampled_from(["zero", "area_until_drop"]),
    ),
)


def end_of(requests: list[Row]) -> float:
    return max([x for s, t, _, end in requests for x in (s, *t, end) if not math.isnan(x)], default=NAN)


@given(rows(), users)
def test_per_request_columns_equal_the_token_by_token_reference(requests, user):
    frame = per_request(log_of(requests), SLO_OF_ALL, user)
    expected = [reference(r, SLO_OF_ALL, user, end_of(requests)) for r in requests]
    for name in expected[0] if expected else ():
        column = [float(e[name]) for e in expected]
        assert frame[name].astype(float).tolist() == pytest.approx(column, rel=1e-12, abs=1e-12, nan_ok=True), name
    assert len(frame) == len(requests)


@given(rows(), users)
def test_the_summary_equals_means_and_quantiles_of_the_reference(requests, user):
    log = log_of(requests, window=64.0)
    values = summary_values(log, SLO_OF_ALL, user)
    ref = [reference(r, SLO_OF_ALL, user, end_of(requests)) for r in requests]
    columns = {k: [r[k] for r in ref if not math.isnan(r[k])] for k in ("ttft", "tpot", "e2e", "idle_latency")}
    columns["tbt"] = [b - a for _, t, _, _ in requests for a, b in pairwise(t)]
    for name, column in columns.items():
        expected = [np.mean(column), *np.quantile(column, [0.5, 0.9, 0.99])] if column else [NAN] * 4
        got = [values[f"{name}_{label}"] for label in ("mean", "p50", "p90", "p99")]
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), name
    for name in ("qoe", "fluidity"):
        column = [r[name] for r in ref if not math.isnan(r[name])]
        expected = [np.mean(column), *np.quantile(column, [0.5, 0.1, 0.01])] if column else [NAN] * 4
        got = [values[f"{name}_{label}"] for label in ("mean", "p50", "p10", "p1")]
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), name
    met = [r for r in ref if r["slo_met"]]
    finished = sum(status == FINISHED for _, _, status, _ in requests)
    assert values["num_finished"] == finished
    assert values["slo_attainment"] == pytest.approx(len(met) / len(ref) if ref else NAN, nan_ok=True)
    assert values["slo_attainment_completed"] == pytest.approx(len(met) / finished if finished else NAN, nan_ok=True)
    total = math.fsum(r["benefit"] for r in ref)
    totals = {
        "goodput_requests": len(met),
        "goodput_tokens": sum(r["num_tokens"] for r in met),
        "smooth_goodput_tokens": total,
        **{
            name: math.fsum(r[name] for r in ref)
            for name in ("effective_tokens", "latency_class_tokens", "deadline_class_tokens")
        },
    }
    span = values["span"]
    for name, amount in totals.items():
        assert values[f"{name}_per_s_window"] == pytest.approx(amount / 64), name
        assert values[f"{name}_per_s"] == pytest.approx(amount / span if span > 0 else NAN, nan_ok=True), name
    parts = [values[f"benefit_{s}_tokens"] for s in ("finished", "dropped", "failed", "unfinished")]
    assert math.fsum(parts) == pytest.approx(total)


def shifted(log: TokenLog, by: float) -> TokenLog:
    tokens = TokenTimes(log.measured.times + by, log.measured.offsets)
    return replace(log, arrival=log.arrival + by, end=log.end + by, measured=tokens)


@given(rows(), users, st.sampled_from([-64.0, 0.5, 4096.0]))
def test_shifting_a_run_in_time_changes_nothing(requests, user, by):
    log = log_of(requests)
    assert same(summary_values(shifted(log, by), SLO_OF_ALL, user), summary_values(log, SLO_OF_ALL, user))


@given(st.data(), rows(), users)
def test_the_order_of_requests_changes_nothing(data, requests, user):
    together = [(0.0, t, status, end) for _, t, status, end in requests]
    permuted = data.draw(st.permutations(together))
    a, b = (summary_values(log_of(r), SLO_OF_ALL, user) for r in (together, permuted))
    assert same(a, b)


@given(st.data(), rows(), users)
def test_each_column_follows_its_request_in_time_and_in_order(data, requests, user):
    together = [(0.0, t, status, end) for _, t, status, end in requests]
    order = data.draw(st.permutations(range(len(together))))
    before = per_request(log_of(together), SLO_OF_ALL, user)
    after = per_request(shifted(log_of([together[i] for i in order]), 0.5), SLO_OF_ALL, user)
    for name in set(before) - {"arrival", "end"}:
        assert after[name].astype(object).fillna("none").tolist() == [
            before[name].astype(object).fillna("none")[i] for i in order
        ], name


@given(rows(), users, st.integers(1, 30))
def test_going_through_the_log_in_small_chunks_changes_nothing(requests, user, size):
    class Chunked(TokenLog):
        def chunks(self, max_tokens=size):
            return super().chunks(size)

    log = log_of(requests)
    chunked = Chunked(**{name: getattr(log, name) for name in log.__dataclass_fields__})
    assert same(summary_values(chunked, SLO_OF_ALL, user), summary_values(log, SLO_OF_ALL, user))


@given(rows(min_size=1))
def test_delivered_times_are_what_the_metrics_look_at(requests):
    log = log_of([(s, [s] * len(t), status, end) for s, t, status, end in requests])
    delivered = log_of(requests).measured
    expected = request_columns(log_of(requests), SLO_OF_ALL, User(abandonment="ignore"))
    got = request_columns(replace(log, delivered=delivered), SLO_OF_ALL, User(abandonment="ignore"))
    assert same(got, expected)


def test_without_an_slo_what_depends_on_it_is_missing_and_not_zero():
    log = log_of([row(0.0, [1.0, 2.0])])
    values = summary_values(log)
    missing = {k for k in values if "slo" in k or "_class_tokens" in k or k.startswith("goodput")}
    assert len(missing) == 10
    assert all(math.isnan(values[k]) for k in missing)
    columns = per_request(log)[["slo_met", "latency_class_tokens", "deadline_class_tokens"]]
    assert columns.isna().all(axis=None)


def test_the_deadlines_of_the_fluidity_are_the_slos_and_etalons_where_it_has_none():
    log = log_of([row(0.0, [0.1, 0.15, 0.3])])
    for slo, fluid in ((None, 2 / 5), (SLO(ttft=0.05), 1 / 6), (SLO(tbt=0.25), 1.0), (SLO(e2e=9), 2 / 5)):
        assert per_request(log, slo)["fluidity"].tolist() == [fluid]
    assert per_request(log, SLO(tbt=0.0))["fluidity"].isna().all()
    assert per_request(log, SLO(tbt=1e-9))["fluidity"].notna().all()


def test_shares_that_did_well_are_of_all_sent_and_of_the_finished():
    good = row(0.0, [1.0, 1.2, 1.4])
    fair = row(0.0, [1.02, 1.2, 1.4])
    log = log_of([good, fair, row(0.0, [9.0, 9.2]), row(0.0, [1.0], DROPPED, 2.0), row(0.0, [], FINISHED, 3.0)])
    values = summary_values(log, SLO(ttft=1, tbt=0.5))
    assert per_request(log)["qoe"].tolist() == pytest.approx([1, 1 - 0.06 / 0.66, 1 - 16 / 16.2, 0, NAN], nan_ok=True)
    assert (values["qoe_perfect"], values["qoe_perfect_completed"]) == (1 / 5, 1 / 4)
    assert (values["qoe_good"], values["qoe_good_completed"]) == (1 / 5, 1 / 4)
    assert values["qoe_mean"] == pytest.approx((1 + 10 / 11 + 1 / 81 + 0) / 4)
    assert values["qoe_mean_completed"] == pytest.approx((1 + 10 / 11 + 1 / 81) / 3)
    assert (values["fluid_share"], values["fluid_share_completed"]) == (1 / 5, 1 / 4)


def test_an_answer_that_meets_nine_of_ten_deadlines_is_fluid():
    nine, eight = [0.0] * 9 + [0.56], [0.0] * 8 + [0.51, 0.6]  # the first is due at 0.1 s, each 0.05 s after
    assert summary_values(log_of([row(0.0, nine), row(0.0, eight)]))["fluid_share"] == 0.5


def test_an_experience_of_just_the_bound_is_good():
    late = [1.5 + i for i in range(20)]  # each half a second: 10 s in all, on 190 s of reading
    assert per_request(log_of([row(0.0, late)]), user=User(speed=1.0))["qoe"].tolist() == [0.95]
    assert summary_values(log_of([row(0.0, late)]), user=User(speed=1.0))["qoe_good"] == 1.0


def test_an_empty_log_has_counts_of_zero_and_nothing_else():
    values = summary_values(log_of([], window=0.0), SLO_OF_ALL)
    for name, value in values.items():
        counted = (name.startswith(("num_", "benefit_")) and name != "num_preemptions") or name == "window"
        assert value == 0.0 if counted else math.isnan(value), name
    assert per_request(log_of([])).empty


@pytest.mark.parametrize("time", [NAN, math.inf])
def test_a_token_time_that_is_no_time_is_refused_by_the_number_of_its_request(time):
    log = log_of([row(0.0, [1.0]), row(0.0, [], end=1.0), row(0.0, [2.0, time], end=3.0), row(0.0, [1.0])])
    for score in (per_request, summary_values):
        with pytest.raises(ValueError, match=f"request 2: a token time is {time}"):
            score(log)


def test_a_log_of_requests_that_got_nothing_has_no_latencies():
    values = summary_values(log_of([row(0.0, [], DROPPED, 1.0), row(1.0, [], FAILED), row(2.0, [], UNFINISHED)]))
    assert [values[f"num_{s}"] for s in ("finished", "dropped", "failed", "unfinished")] == [0, 1, 1, 1]
    assert all(math.isnan(values[f"{k}_mean"]) for k in ("ttft", "tbt", "tbt_max", "tpot", "e2e"))
    assert values["benefit_dropped_tokens"] == -2.5 * (60 - 0.2)


def test_the_default_user_is_the_papers_reader_who_waits_a_minute():
    log = log_of([row(0.0, [1.0, 2.0]), row(1.0, [], DROPPED, 3.0)])
    explicit = User(speed=5.0, alpha=2.5, origin="submission", f="seconds", abandonment="patience", patience=60.0)
    assert same(summary_values(log), summary_values(log, None, explicit))


def test_the_summary_is_one_row_and_every_column_is_in_the_readme():
    log = log_of([row(0.0, [1.0, 2.0])])
    slow = User(speed=0.25)
    frame = summarize(log, SLO_OF_ALL, slow)
    assert frame.shape[0] == 1
    assert frame.iloc[0].to_dict() == pytest.approx(summary_values(log, SLO_OF_ALL, slow), nan_ok=True)
    readme = (Path(simulator.metrics.__file__).parent / "README.md").read_text(encoding="utf-8")
    for name in (*frame.columns, *per_request(log).columns):
        family = re.sub(r"_(mean|p50|p90|p99|p10|p1)$", "_*", name)
        assert f"`{name}`" in readme or f"`{family}`" in readme, name


def test_a_token_time_that_is_none_is_refused_by_its_request():
    log = log_of([row(0.0, []), row(0.0, [1.0, 2.0]), row(0.0, [NAN], FINISHED, 3.0)])
    with pytest.raises(ValueError, match=r"^request 2: a token time is nan, which is no time$"):
        summary_values(log)


def test_per_request_says_status_and_class_in_words():
    log = log_of([row(0.0, [1.0]), row(1.0, [], DROPPED, 2.0)], class_names=("chat",), reason=("", "late"))
    frame = per_request(log)
    assert frame.index.name == "request"
    assert frame["status"].tolist() == ["finished", "dropped"]
    assert frame["request_class"].tolist() == ["chat", "chat"]
    assert frame["reason"].tolist() == ["", "late"]
