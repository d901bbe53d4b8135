"""Engine presets: what they stand for, and that their limits are theirs alone."""

import pytest

from experiments.cells import cells, check_names, run_cell
from experiments.contender import contender
from experiments.study import StudySpec
from policies.presets import PRESETS, make_served
from policies.registry import UnknownPolicy, policy_names
from simulator import EngineLimits

STUDY = {
    "workload": {"lengths": "azure-conv"},
    "rates": [12],
    "requests": 60,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["vllm_v1", "fcfs", "chunked_prefill:token_budget=2048"],
}


@pytest.mark.parametrize(
    ("name", "policy", "limits"),
    [
        ("vllm_v0", "fcfs", (256, 8192, 16, 0.01)),
        ("vllm_v1", "chunked_prefill", (256, 2048, 16, 0.0)),
        ("sarathi", "chunked_prefill:token_budget=512", (128, 512, 16, 0.01)),
    ],
)
def test_presets_are_the_engines_defaults(name, policy, limits):
    served, its = make_served(name, EngineLimits(max_num_seqs=7, watermark=0.5, block_size=8, max_model_len=99))
    assert served.spec == policy
    assert (its.max_num_seqs, its.max_num_batched_tokens, its.block_size, its.watermark) == limits
    assert its.max_model_len == 99


def test_presets_take_parameters_and_have_no_policys_name():
    policy, limits = make_served("vllm_v1:max_num_seqs=1024:max_num_batched_tokens=8192", EngineLimits())
    assert (policy.spec, limits.max_num_seqs) == ("chunked_prefill:token_budget=8192", 1024)
    assert not set(PRESETS) & set(policy_names())


def test_limits_of_a_preset_are_for_its_runs_only():
    ours = EngineLimits(max_num_seqs=7)
    assert contender("sarathi", ours).limits.max_num_seqs == 128
    assert contender("fcfs", ours).limits == ours


def test_preset_is_its_policy_under_its_limits():
    study = StudySpec.model_validate(STUDY)
    preset, _, alike = cells(study)
    plain = study.model_copy(update={"limits": EngineLimits(watermark=0.0, max_num_batched_tokens=2048)})
    values = run_cell(plain, alike).values
    assert run_cell(study, preset).values == pytest.approx(values, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vllm_v2", "unknown policy 'vllm_v2'; did you mean vllm_v"),
        (
            "vllm_v1:max_num_seqs=0",
            "policy 'vllm_v1:max_num_seqs=0': max_num_seqs: Input should be greater than or equal to 1, not '0'",
        ),
        ("vllm_v1:max_num_seqs=4000", "'vllm_v1:max_num_seqs=4000': max_num_seqs 4000 is over max_num_batched_tokens"),
        ("sarathi:chunk=3", "sarathi has no parameter 'chunk' (it has max_num_seqs,"),
        ("fcfs@hold_token", "unknown delivery 'hold_token'; did you mean hold_tokens"),
    ],
)
def test_mistake_is_named_before_anything_runs(spec, message):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        check_names(StudySpec.model_validate({**STUDY, "policies": [spec]}))
    assert message in str(caught.value)


def test_unknown_name_is_an_unknown_policy():
    with pytest.raises(UnknownPolicy):
        make_served("nobody", EngineLimits())
