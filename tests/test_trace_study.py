"""What is known of fcfs and chunked prefill shows on the Azure conversation trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware_profiles import load_profile
from policies import make_policy
from simulator import EngineLimits, Status, simulate
from simulator.metrics import summary_values
from simulator.workload import Workload, read_trace, rescale_rate
from tests.support import check_invariants

PROFILE = "a100-80gb/llama-3-8b/tp1"


@pytest.fixture(scope="module")
def conversations(shared: Path) -> Workload:
    return read_trace(shared / "traces" / "azure2023" / "AzureLLMInferenceTrace_conv.csv")


@pytest.mark.parametrize("policy", ["fcfs", "chunked_prefill"])
def test_everyone_arrives_and_finishes(policy: str, conversations: Workload) -> None:
    log = simulate(conversations, make_policy(policy), load_profile(PROFILE))
    assert log.num_requests == 19_366
    assert (log.status == Status.FINISHED).all()
    check_invariants(log, EngineLimits())


def test_at_light_load_chunks_lower_the_tail_tbt_and_raise_ttft_a_little(conversations: Workload) -> None:
    light = rescale_rate(conversations, 2.0)
    fcfs, chunked = (
        summary_values(simulate(light, make_policy(policy), load_profile(PROFILE)))
        for policy in ("fcfs", "chunked_prefill:token_budget=512")
    )
    assert chunked["tbt_p99"] < 0.6 * fcfs["tbt_p99"]
    assert chunked["tbt_max_p90"] < 0.2 * fcfs["tbt_max_p90"]
    assert fcfs["ttft_mean"] < chunked["ttft_mean"] < 1.5 * fcfs["ttft_mean"]


def test_leaps_change_nothing_on_a_real_trace(conversations: Workload) -> None:
    part = Workload(
        "first 500",
        conversations.arrival[:500],
        conversations.prompt_length[:500],
        conversations.output_length[:500],
    )
    for policy in ("fcfs", "chunked_prefill:token_budget=512"):
        leapt = simulate(part, make_policy(policy), load_profile(PROFILE))
        assert leapt == simulate(part, make_policy(policy), load_profile(PROFILE), leap=False)
