"""Leaping over decode steps gives the log of taking every one of them: equal with ==, not nearly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import make_policy, policy_names
from simulator import EngineLimits, SchedulerPolicy, TokenLog, simulate
from simulator.latency import Batch
from simulator.metrics.slo import SLO
from simulator.swap_space import HostLink
from simulator.workload.workload import Workload
from tests.erratic import Erratic
from tests.support import ConstantLatency, Machine, a100_like, check_invariants

BLOCK = 16
LINK = HostLink(kv_bytes_per_token=1.0, bytes_per_s=64.0)


class StepOnly:
    """A latency model without a closed form."""

    def step_time(self, batch: Batch) -> float:
        return 0.0625 * (1.0 + 0.001 * batch.kv_tokens**1.5 + batch.prefill_tokens / 64)


LATENCIES = [
    a100_like(),
    a100_like(k=1e-5, m=1.5, q0=1e-3, q1=1e-4),
    ConstantLatency(0.25),  # every boundary is a multiple of 1/4 s, and so are the arrivals
    StepOnly(),
]


@st.composite
def scenarios(draw: st.DrawFn) -> tuple[Workload, Machine, EngineLimits, dict[str, object]]:
    n = draw(st.integers(1, 25))
    gap = draw(st.sampled_from([0.0, 0.25, 1.0]))
    quarters = draw(st.lists(st.integers(0, 24), min_size=n, max_size=n))
    exact = draw(st.booleans())
    jitter = 0.0 if exact else 0.123456789
    arrival = np.cumsum([q * gap + (jitter if q else 0.0) for q in quarters])
    prompt = draw(st.lists(st.integers(1, 70), min_size=n, max_size=n))
    output = draw(st.lists(st.integers(1, 60), min_size=n, max_size=n))
    largest = max(p + o for p, o in zip(prompt, output, strict=True))
    spare = draw(st.integers(0, 12))
    blocks = -(-largest // BLOCK) + spare
    watermark = draw(st.sampled_from([0.0, 0.01]))
    while blocks - int(watermark * blocks) < -(-largest // BLOCK):
        blocks += 1
    limits = EngineLimits(
        max_num_seqs=draw(st.sampled_from([1, 2, 5, 256])),
        max_num_batched_tokens=draw(st.sampled_from([256, 8192])),
        watermark=watermark,
        swap_space_bytes=BLOCK * draw(st.sampled_from([0.0, 3.0, 1000.0])),
    )
    machine = Machine(
        draw(st.sampled_from(LATENCIES)), blocks * BLOCK + draw(st.integers(0, BLOCK - 1)), host_link=LINK
    )
    options = {"max_concurrency": draw(st.sampled_from([None, 1, 3])), "until": draw(st.sampled_from([None, 7.5]))}
    patience = draw(st.sampled_from([np.inf, 0.5, 2.0])) * np.ones(n)
    load = Workload("random", arrival, np.array(prompt), np.array(output), patience=patience, **draw(people(n)))
    return load, machine, limits, options


@st.composite
def people(draw: st.DrawFn, n: int) -> dict[str, object]:
    """Clients, promises, expectations and predictions, so that every policy has something to choose by."""

    def slo() -> SLO:
        ttft, tbt, tpot, e2e = (draw(st.sampled_from([0.25, 1.0, 3.0, 20.0])) for _ in range(4))
        return SLO(ttft=ttft, tbt=tbt, tpot=tpot, e2e=e2e, speed=draw(st.sampled_from([0.25, 1.0, 4.0])))

    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        "request_class": rng.integers(0, 2, n),
        "class_names": ("chat", "code"),
        "class_slos": (slo(), slo()),
        "client": rng.integers(0, draw(st.sampled_from([1, 3])), n),
        "expected_ttft": rng.choice([0.25, 1.0], n),
        "speed": np.where(rng.random(n) < 0.5, rng.choice([1.0, 8.0], n), np.nan),
        "predicted_output_length": rng.integers(1, 60, n) + 0.5,
    }


def both(policies: tuple[SchedulerPolicy, SchedulerPolicy], scenario: tuple) -> TokenLog:  # type: ignore[type-arg]
    load, machine, limits, options = scenario
    leapt = simulate(load, policies[0], machine, limits=limits, **options)
    stepped = simulate(load, policies[1], machine, limits=limits, leap=False, **options)
    assert leapt == stepped
    assert leapt.counters["number_in_system_integral"] == pytest.approx(stepped.counters["number_in_system_integral"])
    assert leapt.counters["num_plans"] <= stepped.counters["num_plans"]
    assert leapt.counters["num_iterations"] == stepped.counters["num_iterations"]
    check_invariants(leapt, limits)
    return leapt


SPECS = [
    *policy_names(),
    "chunked_prefill:token_budget=48",
    "chunked_prefill:token_budget=7",
    "static_batching:batch_size=3",
    "srpt_oracle:preemptive=true",
    *(
        f"drop_on_miss:on={on}:variant={variant}:inner={inner}"
        for on, inner in [
            ("ttft", "edf"),
            ("tbt", "chunked_prefill/token_budget=16"),
            ("tpot", "fair_share"),
            ("deadlines", "fcfs"),
        ]
        for variant in ("already_missed", "will_miss")
    ),
    "drop_on_miss:on=deadlines:variant=before_first_token_only:inner=least_slack",
]


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=300)
@given(scenario=scenarios())
def test_every_policy_leaps_as_it_steps(spec: str, scenario: tuple) -> None:  # type: ignore[type-arg]
    both((make_policy(spec), make_policy(spec)), scenario)


@settings(max_examples=1000)
@given(scenario=scenarios(), seed=st.integers(0, 1000))
def test_a_policy_that_pauses_preempts_drops_and_replans_leaps_as_it_steps(scenario: tuple, seed: int) -> None:  # type: ignore[type-arg]
    both((Erratic(seed=seed), Erratic(seed=seed)), scenario)


def test_leaping_asks_less() -> None:
    load = Workload("one", np.zeros(1), np.array([64]), np.array([1000]))
    machine = Machine(a100_like())
    assert simulate(load, make_policy("fcfs"), machine).counters["num_plans"] == 2
    assert simulate(load, make_policy("fcfs"), machine, leap=False).counters["num_plans"] == 1000


def test_what_is_nothing_to_the_replica_does_not_end_a_leap() -> None:
    machine, alone = Machine(a100_like()), Workload("one", np.zeros(1), np.array([64]), np.array([1000]))
    served = simulate(alone, make_policy("fcfs"), machine)
    # its user would have left, had there been no token, while the leap is under way
    patient = simulate(replace(alone, patience=np.array([3.0])), make_policy("fcfs"), machine)
    assert served.num_tokens()[0] == 1000
    assert served.end[0] > 3.0
    assert patient == served
    assert patient.counters["num_plans"] == 2
    assert len(patient.runs.num_steps) == 2  # type: ignore[union-attr]
