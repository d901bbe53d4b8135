import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.metrics import PRESETS, SLO
from simulator.metrics.slo import (
    goodput_requests,
    goodput_tokens,
    slo_attainment,
    slo_attainment_completed,
    slo_met,
)
from tests import hand_logs
from tests.hand_logs import DROPPED, FAILED, FINISHED, UNFINISHED


def met(slo, tokens, arrival=0.0, status=FINISHED):
    return bool(slo_met(slo, hand_logs.ragged([tokens]), np.array([arrival]), np.array([status]))[0])


def test_bounds_are_spelled_in_milliseconds_as_by_the_load_tools():
    slo = SLO(ttft=1.0, tbt=0.1, e2e=20.0)
    assert SLO.parse(["ttft:1000,tbt:100", "e2e:20000"]) == slo
    assert SLO.parse("ttft:1000, itl:1e2 ,E2EL:20000") == slo
    assert slo.spell() == "ttft:1000,tbt:100,e2e:20000"
    assert SLO.parse("tpot:33.3,speed:5").spell() == "tpot:33.3,speed:5"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_an_slo_by_name(name):
    slo = SLO.parse(name)
    assert slo == SLO(**PRESETS[name])
    assert SLO.parse(slo.spell()) == slo
    assert SLO.parse([name, "e2e:60000"]) == SLO(**PRESETS[name], e2e=60.0)


def test_presets_are_the_papers():
    assert {name: SLO.parse(name).spell() for name in PRESETS} == {
        "distserve/chat-13b": "ttft:250,tpot:100",
        "distserve/chat-66b": "ttft:2500,tpot:150",
        "distserve/chat-175b": "ttft:4000,tpot:200",
        "distserve/code-66b": "ttft:125,tpot:200",
        "distserve/summarization-66b": "ttft:15000,tpot:150",
        "sarathi/mistral-7b/strict": "tbt:100",
        "sarathi/mistral-7b/relaxed": "tbt:500",
        "sarathi/yi-34b/strict": "tbt:200",
        "sarathi/yi-34b/relaxed": "tbt:1000",
        "sarathi/70b/strict": "tbt:1000",
        "sarathi/70b/relaxed": "tbt:5000",
    }


bound = st.none() | st.floats(0, 1e12)


@given(bound, bound, bound, bound, st.floats(1e-12, 1e12))
def test_parse_reads_back_what_spell_writes(ttft, tbt, tpot, e2e, speed):
    slo = SLO(ttft=ttft, tbt=tbt, tpot=tpot, e2e=e2e, speed=speed)
    assert SLO.parse(slo.spell()) == slo


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ("tfft:100", "'tfft:100': unknown bound 'tfft'; known: ttft, tbt, "),
        ("a/ttft:100", "'a/ttft:100': unknown bound 'a/ttft'"),
        ("ttft:1:2", "'1:2' is not a number"),
        ("ttft:-1", "'-1' must be finite and ≥ 0"),
        ("ttft:nan", "'nan' must be finite"),
        ("ttft:inf", "'inf' must be finite"),
        ("ttft:1e999", "'1e999' must be finite"),
        ("ttft:1e999999999999999999999", "must be finite|is not a number"),
        ("speed:0", "'0' must be finite and positive"),
        ("ttft:fast", "'fast' is not a number"),
        ("ttft:", "'' is not a number"),
        ("ttft", "'ttft' is not of the form"),
        ("", "'' is not of the form"),
        ("ttft:1,", "'' is not of the form"),
        (["ttft:1", "ttft:2"], "'ttft:2': ttft is bounded twice"),
        ("tbt:1,itl:2", "'itl:2': tbt is bounded twice"),
        ([], "^an SLO needs at least one bound, such as ttft:1000$"),
        ("distserve/chat-12b", "unknown SLO preset 'distserve/chat-12b'; did you mean distserve/chat-13b"),
        ("ttft:1,distserve/chat-13b", "'distserve/chat-13b': ttft is bounded twice"),
    ],
)
def test_a_bad_bound_is_named_in_one_line(texts, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        SLO.parse(texts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bounds", [{}, {"ttft": -1}, {"tbt": float("nan")}, {"speed": 0}, {"itl": 1}])
def test_an_slo_without_bounds_or_with_bad_ones_cannot_be_made(bounds):
    with pytest.raises(ValidationError):
        SLO(**bounds)


@pytest.mark.parametrize(
    ("slo", "tokens"),
    [
        (SLO(ttft=0.5), [1.5, 9.0]),
        (SLO(tbt=0.25), [5.0, 5.25, 5.5]),
        (SLO(tpot=0.25), [5.0, 5.0, 5.5]),
        (SLO(e2e=4.0), [2.0, 5.0]),
        (SLO(speed=4.0), [1.25, 1.5, 1.75]),
        (SLO(ttft=0.5, tbt=0.25, tpot=0.25, e2e=1.0), [1.5, 1.75, 2.0]),
    ],
)
def test_equality_meets_a_bound_and_a_moment_later_does_not(slo, tokens):
    assert met(slo, tokens, arrival=1.0)
    late = (
        np.nextafter([tokens[0], *tokens[1:]], np.inf)
        if slo.ttft or slo.speed
        else [*tokens[:-1], np.nextafter(tokens[-1], np.inf)]
    )
    assert not met(slo, late, arrival=1.0)


def test_a_token_held_until_just_its_deadline_meets_it_whatever_the_rounding():
    tokens = [0.7]
    for _ in range(1000):
        tokens.append(tokens[-1] + 0.1)
    assert max(np.diff(tokens)) > 0.1
    assert met(SLO(tbt=0.1), tokens)


def test_one_token_has_no_gap_to_bound():
    assert met(SLO(tbt=0.0, tpot=0.0), [5.0])


@pytest.mark.parametrize("status", [DROPPED, FAILED, UNFINISHED])
def test_who_did_not_finish_meets_no_slo(status):
    assert not met(SLO(ttft=1e9), [1.0], status=status)


def test_a_request_without_tokens_meets_no_slo():
    assert not met(SLO(ttft=1e9, tbt=1e9, tpot=1e9, e2e=1e9), [])


def test_a_late_gap_is_charged_to_its_own_request_only():
    tokens = hand_logs.ragged([[], [1.0, 2.0], [], [50.0, 51.0], [60.0, 99.0], []])
    verdict = slo_met(SLO(tbt=1.0), tokens, np.zeros(6), np.full(6, FINISHED))
    assert verdict.tolist() == [False, True, False, True, False, False]


def test_both_denominators_and_both_goodputs():
    verdict = np.array([True, False, False, True])
    status = np.array([FINISHED, FINISHED, DROPPED, FINISHED])
    assert slo_attainment(verdict) == 0.5
    assert slo_attainment_completed(verdict, status) == 2 / 3
    assert goodput_requests(verdict, 4.0) == 0.5
    assert goodput_tokens(verdict, np.array([10, 100, 1000, 30]), 4.0) == 10.0


def test_shares_of_nobody_and_rates_over_no_time_are_undefined():
    nobody = np.zeros(0, dtype=bool)
    assert np.isnan(slo_attainment(nobody))
    assert np.isnan(slo_attainment_completed(np.array([False]), np.array([DROPPED])))
    assert np.isnan(goodput_requests(np.array([True]), 0.0))
    assert np.isnan(goodput_tokens(np.array([True]), np.array([1]), float("nan")))


@pytest.mark.parametrize("name", ["ttft", "tbt", "tpot", "e2e"])
def test_a_bound_may_be_nothing_but_not_less(name):
    assert SLO.model_validate({name: 0.0}).spell() == f"{name}:0"
    with pytest.raises(ValueError, match=name):
        SLO.model_validate({name: -0.001})
