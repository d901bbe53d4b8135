"""Shipped profiles hold together, and loading one says clearly what is wrong with what it was given."""

from __future__ import annotations

import pickle
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles import load_profile, profile_names
from hardware_profiles.datasheets import kv_capacity, load_device, load_model, physical_bounds
from hardware_profiles.loader import data_folder, load_overhead, overhead_names, record_names
from simulator.latency import Batch

A100 = "a100-80gb/llama-3-8b/tp1"
WITH_KNOTS = [name for name in profile_names() if load_profile(name).table]
FORMS = [*profile_names(), *(f"{name}+table" for name in WITH_KNOTS), f"{A100}+vllm-2024", f"{A100}+table+vllm-2024"]

chunks = st.tuples(st.integers(0, 16384), st.integers(0, 16384))
decodes = st.tuples(st.integers(0, 256), st.integers(0, 16384))


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profile_is_named_after_what_it_is_and_agrees_with_the_data_sheets(name: str) -> None:
    profile = load_profile(name)
    device, model = load_device(profile.device), load_model(profile.model)
    assert profile.name == name
    assert profile.kv_capacity == kv_capacity(device, model, profile.tp)
    bounds, latency = physical_bounds(device, model, profile.tp), profile.coefficients.latency()
    for coefficient, bound in bounds._asdict().items():
        assert getattr(latency, coefficient) >= bound
    assert profile.overhead in overhead_names()
    assert profile.warnings


@pytest.mark.parametrize("name", profile_names())
def test_profile_states_its_errors_unless_it_was_never_compared_with_rows(name: str) -> None:
    profile = load_profile(name)
    assert (profile.errors is None) == (profile.kind in ("derived", "estimated"))
    assert (profile.table_errors is None) == (profile.table is None)
    assert profile.source.origin
    assert profile.source.licence


def test_names_are_sorted_and_cover_the_devices() -> None:
    names = profile_names()
    assert list(names) == sorted(names)
    assert {name.split("/")[0] for name in names} == set(record_names("devices"))


@given(st.sampled_from(FORMS), chunks, decodes)
def test_step_time_is_positive_and_never_falls_when_work_is_added(
    name: str, chunk: tuple[int, int], decoding: tuple[int, int]
) -> None:
    latency = load_profile(name).latency
    before = latency.step_time(_batch(chunk, decoding))
    assert 0 < before < float("inf")
    (tokens, context), (number, length) = chunk, decoding
    for more in (
        _batch((tokens + 1, context), decoding),
        _batch((tokens, context + 1), decoding),
        _batch(chunk, (number + 1, length)),
        _batch(chunk, (number, length + 1)),
    ):
        assert latency.step_time(more) >= before * (1 - 1e-12)


@given(st.sampled_from(FORMS), st.integers(1, 256), st.integers(1, 200_000), st.integers(1, 40))
def test_decode_run_is_the_sum_of_its_steps(name: str, number: int, kv_tokens: int, steps: int) -> None:
    latency = load_profile(name).latency
    run = latency.decode_run(number, kv_tokens)
    batches = [Batch(0, 0, 0, number, kv_tokens + i * number, number) for i in range(steps)]
    ends = list(accumulate(latency.step_time(batch) for batch in batches))
    assert run.first == latency.step_time(batches[0])
    assert steps * run.first + run.growth * steps * (steps - 1) / 2 == pytest.approx(ends[-1], rel=1e-12)


def test_overhead_preset_adds_its_time_to_every_iteration() -> None:
    bare, combined, preset = load_profile(A100), load_profile(f"{A100}+vllm-2024"), load_overhead("vllm-2024")
    batch = Batch(512, 0, 512 * 513 // 2, 7, 7000, 8)
    expected = bare.latency.step_time(batch) + preset.q0.value + 8 * preset.q1.value
    assert combined.latency.step_time(batch) == pytest.approx(expected, rel=1e-12)
    assert combined.name == f"{A100}+vllm-2024"
    assert load_profile(f"{A100}+none").latency == bare.latency


def test_a_profile_that_has_been_used_is_combined_as_a_fresh_one_is() -> None:
    used = load_profile(A100)
    assert used.latency.step_time(Batch(0, 0, 0, 1, 100, 1)) > 0
    assert used.host_link is not None
    preset = load_overhead("vllm-2024")
    assert used.with_table().with_overhead(preset) == load_profile(f"{A100}+table+vllm-2024")
    assert used.with_overhead(preset).latency == load_profile(f"{A100}+vllm-2024").latency


def test_overhead_grows_with_the_gpus_of_a_replica() -> None:
    preset = load_overhead("vllm-2024")
    profile = load_profile("h100-80gb/llama-3-70b/tp4+vllm-2024")
    assert profile.coefficients.q0.value == preset.q0.value + 3 * preset.q0_per_further_gpu.value


@pytest.mark.parametrize("name", ["vllm-2024", "tensorrt-llm-2024"])
def test_overhead_preset_brings_unseen_pairs_nearer(name: str) -> None:
    preset = load_overhead(name)
    assert preset.out_of_sample
    assert preset.out_of_sample.with_overhead < preset.out_of_sample.without


def test_profile_pickles(tmp_path: Path) -> None:
    profile = load_profile(A100)
    assert profile.latency is profile.latency
    assert pickle.loads(pickle.dumps(profile)) == load_profile(A100)


def test_unknown_name_is_answered_with_near_ones_or_the_list() -> None:
    with pytest.raises(ValueError, match=r"llama-3-8b/tp9'; did you mean .*tp1.*\? \(there are \d\d\)$"):
        load_profile("a100-80gb/llama-3-8b/tp9")
    with pytest.raises(
        ValueError, match=r"unknown profile 'zzz' \(there are: a100.*, rtxpro6000-96gb/qwen3-32b/tp2\)$"
    ):
        load_profile("zzz")
    with pytest.raises(ValueError, match="unknown overhead preset 'vllm'; did you mean vllm-2024"):
        load_profile(f"{A100}+vllm")
    with pytest.raises(ValueError, match="unknown profile"):
        load_profile("../profiles/a100-80gb/llama-3-8b/tp1")


def test_profile_without_knots_has_no_table_form() -> None:
    with pytest.raises(ValueError, match="'a100-40gb/llama-3-8b/tp1' has no table of knots"):
        load_profile("a100-40gb/llama-3-8b/tp1+table")


def test_profile_of_the_users_own_loads_by_path(tmp_path: Path) -> None:
    file = tmp_path / "a+b" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(_shipped_text())
    assert load_profile(file) == load_profile(str(file)) == load_profile(A100)
    assert load_profile(f"{file}+vllm-2024") == load_profile(f"{A100}+vllm-2024")


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("unit: s/pair", "unit: ms", r"mine.yaml: coefficients.a.unit = 'ms': Input should be 's/pair'"),
        ("tp: 1", "tp: 0", r"mine.yaml: tp = 0: Input should be greater than 0"),
        ("tp: 1", "tp: 2", r"mine.yaml: document = .*does not begin with device/model/tp"),
        ("kind: composed", "kind: [composed", r"mine.yaml:\d+: not valid YAML"),
        ("kind: composed", "kind: !!python/name:os.system", r"mine.yaml:2: not valid YAML: could not determine"),
        ("kind: composed", "kind: composed\nspeed: 1", r"mine.yaml: speed = 1: Extra inputs are not permitted"),
    ],
)
def test_malformed_file_is_answered_with_file_and_field(tmp_path: Path, replaced: str, by: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(_shipped_text().replace(replaced, by, 1))
    with pytest.raises(ValueError, match=message) as error:
        load_profile(file)
    assert "\n" not in str(error.value)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_profile(tmp_path / "none.yaml")


def _batch(chunk: tuple[int, int], decoding: tuple[int, int]) -> Batch:
    (tokens, context), (number, length) = chunk, decoding
    pairs = tokens * context + tokens * (tokens + 1) // 2
    return Batch(tokens, context, pairs, number, number * length, number + 1)


def _shipped_text() -> str:
    return data_folder("profiles").joinpath(*f"{A100}.yaml".split("/")).read_text(encoding="utf-8")


def test_a_profile_knows_its_link_to_the_host() -> None:
    link = load_profile("a100-80gb/llama-3-8b/tp2").host_link
    assert link is not None
    assert (link.kv_bytes_per_token, link.bytes_per_s) == (131_072 / 2, 3.2e10)
    unknown = load_profile("a100-80gb/llama-3-8b/tp1").model_copy(
        update={"device": "b300", "name": "b300/llama-3-8b/tp1"}
    )
    assert unknown.host_link is None
