from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.metrics import QoE
from simulator.metrics.andes_qoe import Expectation, Outcome, qoe, qoe_until
from simulator.metrics.deadlines import stall_free_start
from simulator.metrics.smooth_goodput import user_idle_latency
from tests import hand_logs, slow_metrics
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED

AREA = "area_until_drop"
times = st.integers(0, 640).map(lambda i: i / 64)
answers = st.lists(times, min_size=1, max_size=10).map(sorted)
speeds = st.sampled_from([0.25, 1.0, 4.0, 16.0])
ttfts = st.sampled_from([0.0, 0.5, 1.0, 3.0])
exact = {"rel": 1e-12, "abs": 1e-12}


def score(tokens, model=None, speed=1.0, status=FINISHED, end=float("nan"), asked=None, prompt=7):
    """QoE of one request, times since submission."""
    model = model or QoE(ttft=1.0)
    elapsed = hand_logs.ragged([tokens])
    speeds = np.array([speed])
    expected = Expectation(model.expected_ttft(np.array([prompt])), speeds)
    outcome = Outcome(np.array([status]), np.array([end]), np.array([len(tokens) if asked is None else asked]))
    return float(qoe(model, stall_free_start(elapsed, speeds), expected, outcome)[0])


@given(answers, ttfts, speeds)
def test_one_running_maximum_says_when_each_token_is_read_and_how_long_a_reader_waits(tokens, ready, speed):
    elapsed = hand_logs.ragged([tokens])
    start = stall_free_start(elapsed, np.array([speed])).values
    read = slow_metrics.digested(slow_metrics.fractions(tokens), Fraction(ready), Fraction(speed))
    assert (np.maximum(ready, start) + np.arange(len(tokens)) / speed).tolist() == [float(t) for t in read]
    idle = user_idle_latency(elapsed, np.zeros(1), speed)
    assert idle.tolist() == [max(0.0, start[-1] - 1 / speed)]


def test_an_example_by_hand():
    tokens = [0.5, 4.0, 4.0]  # due at 1, 2 and 3 s; read at 1, 4 and 5 s
    assert score(tokens) == pytest.approx(1 - Fraction(0 + 2 + 2, 4 + 3 + 2), **exact)
    # v1: lines up to 6 s; expected 9/2 + 3·2, digested 9/2 + 3/2 + 1/2
    assert score(tokens, QoE(version="v1")) == pytest.approx(Fraction(13, 2) / Fraction(21, 2), **exact)
    assert score(tokens, QoE(version="v1_steps")) == pytest.approx(Fraction(5, 9), **exact)


def test_nobody_is_happier_for_more_than_expected():
    assert score([0.0, 0.0, 0.0]) == score([1.0, 2.0, 3.0]) == 1.0
    assert score([0.0, 0.0, 0.0], QoE(version="v1")) == 1.0


def test_a_reader_who_waits_at_both_ends():
    assert score([11.0, 100.0]) == pytest.approx(1 - Fraction(10 + 98, 99 + 98), **exact)
    assert score([11.0, 12.0]) == pytest.approx(1 - Fraction(20, 21), **exact)


@given(answers, ttfts, speeds)
def test_every_version_equals_its_definition_token_by_token(tokens, ttft, speed):
    slow = slow_metrics.fractions(tokens), Fraction(ttft), Fraction(speed)
    lines = slow_metrics.qoe_areas(*slow, lines=True)
    assert score(tokens, QoE(version="v1", ttft=ttft), speed) == pytest.approx(lines, **exact)
    if len(tokens) > 1:
        v2 = slow_metrics.qoe_v2(*slow)
        assert slow_metrics.qoe_areas(*slow, lines=False) == v2  # Andes v1 = v2, in fractions
        for version in ("v2", "v1_steps"):
            assert score(tokens, QoE(version=version, ttft=ttft), speed) == pytest.approx(v2, **exact)


@given(answers, ttfts, speeds, times, st.integers(0, 4), st.sampled_from(["v1", "v2"]))
def test_the_area_until_a_drop_equals_its_definition(tokens, ttft, speed, after, missing, version):
    end, asked = tokens[-1] + after, len(tokens) + missing
    model = QoE(version=version, ttft=ttft, dropped=AREA)
    slow = slow_metrics.qoe_areas(
        slow_metrics.fractions(tokens), Fraction(ttft), Fraction(speed), version == "v1", end=Fraction(end), asked=asked
    )
    assert score(tokens, model, speed, DROPPED, end, asked) == pytest.approx(slow, **exact)
    assert score(tokens, model, speed, UNFINISHED, end, asked) == pytest.approx(slow, **exact)


def test_one_token_is_judged_by_its_delay_against_the_expected_ttft():
    assert [score([t], QoE(ttft=2.0)) for t in (1.0, 2.0, 2.5, 4.0, 9.0)] == [1.0, 1.0, 0.75, 0.0, 0.0]
    assert [score([t], QoE(ttft=0.0)) for t in (0.0, 0.5)] == [1.0, 0.0]
    assert score([2.0], QoE(version="v1")) == pytest.approx(Fraction(1, 3), **exact)  # 1/2 of 1 + 1/2


def test_the_penalty_is_for_a_late_first_token_only():
    model = QoE(version="v1", penalty=0.5)
    assert score([3.0, 4.0], model) == 0.25 * score([3.0, 4.0], QoE(version="v1"))
    assert score([0.0, 9.0], model) == score([0.0, 9.0], QoE(version="v1"))
    assert score([3.0, 4.0], QoE(version="v1", penalty=0.0)) == 0.0
    assert score([1.0, 2.0], QoE(version="v1", penalty=0.0)) == 1.0


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_drop_scores_0_or_the_area_that_was_served(version):
    zero, area = QoE(version=version, ttft=1.0), QoE(version=version, ttft=1.0, dropped=AREA)
    assert score([0.5, 4.0], zero, status=DROPPED, end=4.5, asked=4) == 0.0
    served = {"v2": Fraction(7 + 1, 7 + 5 + 3 + 1), "v1": Fraction(6 * 4 + 1, 49)}[version]  # halves; eighths
    assert score([0.5, 4.0], area, status=DROPPED, end=4.5, asked=4) == pytest.approx(served, **exact)
    assert score([], area, status=DROPPED, end=9.0, asked=4) == 0.0
    assert score([], area, status=DROPPED, end=1.0, asked=4) == 1.0  # nothing was expected by then


def test_who_failed_scores_0_and_who_finished_without_a_token_nothing():
    for model in (QoE(), QoE(dropped=AREA), QoE(version="v1", dropped=AREA)):
        assert score([], model, status=FAILED, end=0.0) == 0.0
        assert score([0.1], model, status=FAILED) == 0.0
        assert np.isnan(score([], model))
        assert score([], model, status=UNFINISHED, end=20.0, asked=5) == 0.0


def test_a_drop_at_a_time_nobody_recorded_is_undefined_by_area():
    assert np.isnan(score([0.5], QoE(dropped=AREA), status=DROPPED, asked=2))


def test_expected_ttft_is_the_papers_unless_given():
    prompts = np.array([1, 5000, 9999, 10_000, 30_000])
    assert QoE().expected_ttft(prompts).tolist() == [1, 1, 1, 2, 6]
    assert QoE(version="v1").expected_ttft(prompts).tolist() == [1] * 5
    assert QoE(ttft=0.5).expected_ttft(prompts).tolist() == [0.5] * 5
    assert QoE(ttft=np.arange(5.0)).expected_ttft(prompts).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="2 expected TTFTs, the log 5 requests"):
        QoE(ttft=(1.0, 2.0)).expected_ttft(prompts)


@pytest.mark.parametrize(
    "bad", [{"version": "v3"}, {"ttft": -1}, {"penalty": 0.5}, {"penalty": 2, "version": "v1"}, {"dropped": "one"}]
)
def test_an_expectation_that_cannot_be_is_refused(bad):
    with pytest.raises(ValidationError):
        QoE(**bad)


@given(answers, ttfts, speeds, st.sampled_from(["v1", "v2", "v1_steps"]), st.sampled_from(hand_logs.Status), times)
def test_qoe_is_a_share(tokens, ttft, speed, version, status, after):
    model = QoE(version=version, ttft=ttft, dropped=AREA)
    assert 0.0 <= score(tokens, model, speed, status, tokens[-1] + after, len(tokens) + 3) <= 1.0


@given(st.data(), answers, ttfts, speeds, st.sampled_from(["v1", "v2"]))
def test_with_the_last_digested_time_unchanged_an_earlier_token_never_lowers_qoe(data, tokens, ttft, speed, version):
    i = data.draw(st.integers(0, len(tokens) - 1))
    earliest = tokens[i - 1] if i else 0.0
    earlier = [*tokens[:i], data.draw(st.sampled_from([earliest, (earliest + tokens[i]) / 2])), *tokens[i + 1 :]]
    ends = [
        slow_metrics.digested(slow_metrics.fractions(t), Fraction(ttft), Fraction(speed))[-1] for t in (tokens, earlier)
    ]
    assume(ends[0] == ends[1])
    model = QoE(version=version, ttft=ttft)
    assert score(earlier, model, speed) >= score(tokens, model, speed)


def test_without_a_last_digested_time_that_stays_an_earlier_answer_can_score_lower():
    assert score([11.0, 12.0]) < 0.05 < 0.45 < score([11.0, 100.0])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_withholding_the_last_token_of_a_late_answer_raises_qoe(version):
    late = [21.7 + i / 5 for i in range(200)]
    model = QoE(version=version)
    assert score(late, model, speed=5.0) == pytest.approx(0.49, abs=0.005)
    assert score([*late[:-1], late[-1] + 600], model, speed=5.0) == pytest.approx(0.96, abs=0.005)


def test_expectations_may_be_an_array_with_a_number_for_each_request():
    assert QoE(ttft=np.array([1.0, 2.5])).ttft == (1.0, 2.5)
    with pytest.raises(ValueError, match="ttft"):
        QoE(ttft=np.array([[1.0, 2.5]]))


def test_steps_that_are_expected_by_a_time_are_counted_by_hand():
    # tokens at 1 and 2 s, expected at 1, 2, 3, 4 s: until 4 s four are due, whose steps have an area of 3 + 2 + 1 + 0
    start = stall_free_start(hand_logs.ragged([[1.0, 2.0]]), np.array([1.0]))
    expected = Expectation(np.array([1.0]), np.array([1.0]))
    score = [qoe_until(start, expected, np.array([4.0]), np.array([n]), "v1_steps")[0] for n in (10, 3, 2)]
    assert score == pytest.approx([5 / 6, 5 / 6, 1.0], abs=1e-12)
