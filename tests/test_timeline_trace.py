"""The Chrome trace says what the run did, by the rules of the format."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.timeline.chrome_trace import GPU, REQUESTS, chrome_trace, write_chrome_trace
from experiments.timeline.iterations import iterations
from policies import make_policy
from simulator import StepPlan, simulate
from simulator.metrics.periods import last_event
from tests.erratic import Erratic
from tests.support import ConstantLatency, Machine, workload
from tests.test_engine_leap import scenarios
from tests.test_engine_timelines import LOAD, Scripted, TokensTakeTime

GOLDEN = Path(__file__).parent / "fixtures" / "three_requests.trace.json"

ITERATIONS = [
    ("prefill", 0.0, 2.0, {"prefill_tokens": 64, "num_decodes": 0, "kv_blocks": 4}),
    ("prefill", 2.0, 1.5, {"prefill_tokens": 32, "num_decodes": 0, "kv_blocks": 6}),
    ("decode", 3.5, 1.0, {"prefill_tokens": 0, "num_decodes": 2, "kv_blocks": 8}),
    ("prefill", 4.5, 2.0, {"prefill_tokens": 64, "num_decodes": 0, "kv_blocks": 9}),
    ("decode", 6.5, 1.0, {"prefill_tokens": 0, "num_decodes": 2, "kv_blocks": 10}),
]
PHASES = {
    "request 0": [("prefill", 0, 2), ("paused", 2, 1.5), ("decode", 3.5, 1), ("paused", 4.5, 2), ("decode", 6.5, 1)],
    "request 1": [("waiting", 0.5, 1.5), ("prefill", 2, 1.5), ("decode", 3.5, 1)],
    "request 2": [("waiting", 4, 0.5), ("prefill", 4.5, 2), ("decode", 6.5, 1)],
}
"""Name, start and duration in seconds, worked out by hand in test_timeline."""


def check_trace(trace: dict[str, Any]) -> None:
    """The rules of the format: fields, ids, names, order of time, and slices that do not overlap on a thread."""
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    names: dict[tuple[str, int, int], str] = {}
    latest, ends = -float("inf"), defaultdict[tuple[int, int], int](int)
    for event in json.loads(json.dumps(trace, allow_nan=False))["traceEvents"]:
        place = event["pid"], event["tid"]
        assert all(isinstance(number, int) and number >= 0 for number in place)
        assert isinstance(event["name"], str)
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert latest == -float("inf"), "metadata comes first"
            assert (event["name"], *place) not in names
            names[event["name"], *place] = str(event["args"].get("name"))
            continue
        assert event["ts"] >= max(latest, 0.0)
        latest = event["ts"]
        assert ("process_name", event["pid"], 0) in names
        check_event(event, place, ends)
        if event["ph"] != "C":
            assert ("thread_name", *place) in names
    assert len(set(names.values())) >= len([name for name in names if name[0] == "thread_name"])


def check_event(event: dict[str, Any], place: tuple[int, int], ends: dict[tuple[int, int], int]) -> None:
    at = round(event["ts"] * 1000)
    assert at / 1000 == event["ts"], "whole nanoseconds"
    if event["ph"] == "X":
        assert event["dur"] >= 0
        assert at >= ends[place], "slices of a thread follow one another"
        ends[place] = at + round(event["dur"] * 1000)
    elif event["ph"] == "C":
        assert event["args"]
        assert all(isinstance(value, int) and value >= 0 for value in event["args"].values())
    else:
        assert event["ph"] == "i"
        assert event["s"] == "t"


def slices(trace: dict[str, Any], process: int) -> dict[str, list[tuple[Any, ...]]]:
    """Complete events by the name of their thread; times in seconds."""
    events = [event for event in trace["traceEvents"] if event["pid"] == process]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names.values()}
    for event in (event for event in events if event["ph"] == "X"):
        found[names[event["tid"]]].append((event["name"], event["ts"] / 1e6, event["dur"] / 1e6, event["args"]))
    return found


def test_three_requests(tmp_path: Path) -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime(), kv_capacity_tokens=320))
    write_chrome_trace(log, 0.0, 8.0, tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace == chrome_trace(log, 0.0, 8.0)
    check_trace(trace)
    assert slices(trace, GPU) == {"iterations": ITERATIONS}
    phases = {thread: [stay[:3] for stay in stays] for thread, stays in slices(trace, REQUESTS).items()}
    assert phases == PHASES
    firsts = [(event["tid"], event["ts"]) for event in trace["traceEvents"] if event["ph"] == "i"]
    assert firsts == [(1, 2e6), (2, 3.5e6), (3, 6.5e6)]
    assert (tmp_path / "trace.json").read_text() == GOLDEN.read_text()


def test_phases_are_cut_at_the_window_and_iterations_are_whole() -> None:
    log = simulate(LOAD, make_policy("fcfs"), Machine(TokensTakeTime()))
    trace = chrome_trace(log, 3.0, 4.25)
    check_trace(trace)
    assert [stay[:3] for stay in slices(trace, GPU)["iterations"]] == [("prefill", 2.0, 1.5), ("decode", 3.5, 1.0)]
    phases = {thread: [stay[:3] for stay in stays] for thread, stays in slices(trace, REQUESTS).items()}
    assert phases == {
        "request 0": [("paused", 3.0, 0.5), ("decode", 3.5, 0.75)],
        "request 1": [("prefill", 3.0, 0.5), ("decode", 3.5, 0.75)],
        "request 2": [("waiting", 4.0, 0.25)],
    }


def test_a_drop_is_an_instant_with_its_reason() -> None:
    policy = Scripted(start=4.0, end=5.0, scripted=StepPlan(drop={0: "late"}))
    log = simulate(workload([0.0, 3.5], 16, [50, 2]), policy, Machine(ConstantLatency(1.0)))
    instants = [event for event in chrome_trace(log, 0.0, 6.0)["traceEvents"] if event["ph"] == "i"]
    assert [(event["name"], event["ts"], event["args"]) for event in instants] == [
        ("first token", 1e6, {"ttft": 1.0}),
        ("dropped", 4e6, {"reason": "late"}),
        ("first token", 5e6, {"ttft": 1.5}),
    ]


@settings(max_examples=100)
@given(scenario=scenarios(), seed=st.integers(0, 1000))
def test_traces_of_any_run_are_valid_and_whole(scenario: tuple, seed: int) -> None:  # type: ignore[type-arg]
    load, machine, limits, options = scenario
    log = simulate(load, Erratic(seed=seed), machine, limits=limits, **options)
    if log.runs is None or not len(log.runs.start):
        return
    start, end = float(log.arrival[0]), last_event(log)
    trace = chrome_trace(log, start, end)
    check_trace(trace)
    blocks = iterations(log, start, end)
    written = slices(trace, GPU)["iterations"]
    assert [block[1] for block in written] == pytest.approx(blocks.start.tolist(), abs=1e-9)
    for stays in slices(trace, REQUESTS).values():
        ends = [(start + duration) for _, start, duration, _ in stays]
        assert ends[:-1] == pytest.approx([start for _, start, _, _ in stays[1:]], abs=2e-9)
