"""The parameters of all policies and presets: their defaults, and the values just inside and outside their limits."""

from __future__ import annotations

from typing import Any

import pytest

from policies import make_policy, policy_names
from policies.presets import PRESETS
from policies.registry import policy_class

INF = "1e300"
PARAMETERS: dict[str, dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]]] = {
    "fcfs": {},
    "lcfs": {},
    "sjf_predicted": {},
    "chunked_prefill": {"token_budget": (2048, ("1",), ("0",))},
    "static_batching": {"batch_size": (None, ("1",), ("0",))},
    "edf": {
        "ttft": (None, ("0.01", INF), ("0", "-1")),
        "tbt": (None, ("0.01", INF), ("0", "-1")),
        "tpot": (None, ("0.01", INF), ("0", "-1")),
        "speed": (None, ("0.01", INF), ("0", "-1")),
    },
    "srpt_oracle": {"preemptive": (False, ("true",), ("2",))},
    "fair_share": {
        "prompt_weight": (1.0, ("0", "0.5"), ("-0.01",)),
        "output_weight": (2.0, ("0", "0.5"), ("-0.01",)),
    },
    "andes": {
        "horizon": (10.0, ("0.01",), ("0",)),
        "quantum": (50, ("1",), ("0",)),
        "objective": ("average", ("max_min", "perfect"), ("fair",)),
        "guard": ("both", ("off", "cap", "refine"), ("on",)),
        "max_mean_preemptions": (1.0, ("0",), ("-0.01",)),
        "kv_pressure": (0.9, ("0", "1"), ("-0.01", "1.01")),
        "queue_pressure": (True, ("false",), ("2",)),
        "num_batch_sizes": (8, ("1",), ("0",)),
        "speed": (5.0, ("0.01",), ("0",)),
        "ttft": (None, ("0.01",), ("0",)),
    },
    "slos_serve": {
        "slowdown": (3.0, ("0.01",), ("0",)),
        "tight_tpot": (0.05, ("0.01",), ("0",)),
        "loose_tpot": (0.1, ("0.2",), ("0",)),
        "max_candidates": (8, ("1",), ("0",)),
        "output_length": (256.0, ("1",), ("0.99",)),
    },
    "tempo": {
        "frame": (50, ("1",), ("0",)),
        "keep": (0.95, ("0", "1"), ("-0.01", "1.01")),
        "decay": (1.0, ("0", "0.5"), ("-0.01",)),
        "output_weight": (8.0, ("0", "0.5"), ("-0.01",)),
        "ttft": (2.0, ("0.01",), ("0",)),
        "tpot": (0.1, ("0.01",), ("0",)),
        "output_length": (256.0, ("1",), ("0.99",)),
    },
    "tokenflow": {
        "resume_below": (1.0, ("0.5",), ("x",)),
        "preempt_above": (4.0, ("1.5",), ("x",)),
        "quantum": (10, ("1",), ("0",)),
        "speed": (10.0, ("0.01",), ("0",)),
    },
    "adaserve": {
        "max_depth": (4, ("1",), ("0",)),
        "token_budget": (256, ("1",), ("0",)),
        "tpot": (0.05, ("0.01",), ("0",)),
    },
    "vllm_v0": {
        "max_num_seqs": (256, ("1",), ("0",)),
        "max_num_batched_tokens": (8192, ("1",), ("0",)),
        "block_size": (16, ("1",), ("0",)),
        "watermark": (0.01, ("0", "0.99"), ("-0.01", "1")),
    },
}
PARAMETERS["least_slack"] = PARAMETERS["edf"]
PARAMETERS["drop_on_miss"] = {
    "ttft": (None, ("0.01", INF), ("0", "-1")),
    **dict.fromkeys(("tbt", "tpot", "speed"), (None, (), ("0", "-1"))),  # of those who watch another bound
    "inner": ("fcfs", ("edf/ttft=1",), ("fcsf",)),
    "on": ("ttft", ("tbt", "tpot", "deadlines"), ("tokens",)),
    "variant": ("already_missed", ("will_miss",), ("missed",)),
}
PARAMETERS["vllm_v1"] = PARAMETERS["vllm_v0"] | {
    "max_num_batched_tokens": (2048, ("1",), ("0",)),
    "watermark": (0.0, ("0", "0.99"), ("-0.01", "1")),
}
PARAMETERS["sarathi"] = PARAMETERS["vllm_v0"] | {
    "max_num_seqs": (128, ("1",), ("0",)),
    "max_num_batched_tokens": (512, ("1",), ("0",)),
}


def fields(name: str) -> dict[str, Any]:
    model: Any = PRESETS[name] if name in PRESETS else policy_class(name)
    return {field: info.default for field, info in model.model_fields.items()}


def make(name: str, parameter: str, value: str) -> object:
    if name in PRESETS:
        return PRESETS[name].model_validate({parameter: value})
    return make_policy(f"{name}:{parameter}={value}")


def test_the_table_has_every_policy_and_preset() -> None:
    assert PARAMETERS.keys() == {*policy_names(), *PRESETS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_defaults(name: str) -> None:
    assert fields(name) == {parameter: default for parameter, (default, _, _) in PARAMETERS[name].items()}


@pytest.mark.parametrize("name", PARAMETERS)
def test_limits(name: str) -> None:
    for parameter, (_, inside, outside) in PARAMETERS[name].items():
        for value in inside:
            make(name, parameter, value)
        for value in outside:
            with pytest.raises(ValueError, match=parameter):
                make(name, parameter, value)
