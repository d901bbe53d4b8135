"""The validation page: batches run again on the engine, what the simulation knew of them, and the page."""

from __future__ import annotations

import csv
import re
from datetime import date
from pathlib import Path

import pytest

from experiments import trust
from experiments.trust.validation import TABLES, page_text, write_page
from experiments.trust.validation_batches import PRESETS, Batches, fitted_pairs, whole_batches
from experiments.trust.validation_case import Case, Quantity, Role, spread
from experiments.trust.validation_iterations import whole_iterations
from experiments.trust.validation_misses import MISSES, misses
from experiments.trust.validation_runs import end_to_end, first_and_second_token
from hardware_profiles import load_profile
from hardware_profiles.build import WHOLE_BATCHES
from hardware_profiles.loader import load_overhead
from hardware_profiles.overhead_fit import passes, read_whole_batches
from simulator import Batch

HOME = Path(trust.__file__).parent
SPLITWISE = "splitwise_a100-80gb_llama2-70b_tp4_train.csv"
ITERATION = "kind,prefill_reqs,prefill_tokens,prefill_context,attn_pairs,decode_batch,kv_tokens,latency_s,source"
WEIGHTS_TIME = 16.06e9 / 1.555e12


def write_batches(folder: Path, rows: list[tuple[str, int, str, str, int, int, float]]) -> None:
    with (folder / WHOLE_BATCHES).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["gpu", "n_gpus", "framework", "model", "input_len", "output_len", "batch", "batch_latency_s"])
        table.writerows([*row[:4], row[4], row[4], *row[5:]] for row in rows)


def write_iterations(folder: Path, rows: list[str]) -> None:
    (folder / SPLITWISE).write_text("\n".join([ITERATION, *rows]) + "\n", encoding="utf-8")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Tables that the simulator made itself, every latency 1.25 times as long."""
    rows = []
    for tp in (1, 2):
        fast = load_profile(f"a100-40gb/llama-3-8b/tp{tp}+vllm-2024")
        for batch, length in ((1, 64), (1, 128), (16, 64), (16, 128)):
            measured = 1.25 * end_to_end(fast, batch, length, length)
            rows.append(("a100-40", tp, "vLLM", "llama-3-8b", length, batch, measured))
    write_batches(tmp_path, rows)
    latency = load_profile("a100-80gb/llama-2-70b/tp4-vllm-2023").latency
    prefill = latency.step_time(Batch(512, 0, 4 * 128 * 129 // 2, 0, 0, 4))
    decode = latency.step_time(Batch(0, 0, 0, 4, 400, 4))
    iterations = [
        f"prefill,4,512,0,{4 * 128 * 129 // 2},0,0,{1.25 * prefill},splitwise-measured-2023",
        f"decode,0,0,0,0,4,400,{1.25 * decode},splitwise-measured-2023",
    ]
    write_iterations(tmp_path, iterations)
    return tmp_path


@pytest.mark.parametrize(("batch", "length"), [(1, 128), (16, 512), (32, 256), (7, 1024)])
def test_a_batch_takes_the_time_of_its_passes_by_the_formula_that_presets_are_fitted_with(
    batch: int, length: int
) -> None:
    name = "h100-80gb/llama-3-8b/tp2"
    by_formula, preset = passes(load_profile(name).latency, batch, length), load_overhead("vllm-2024")
    assert end_to_end(load_profile(name), batch, length, length) == pytest.approx(by_formula.time)
    overhead = preset.q0_at(2) * by_formula.iterations + preset.q1.value * by_formula.sequences
    with_preset = end_to_end(load_profile(f"{name}+vllm-2024"), batch, length, length)
    assert with_preset == pytest.approx(by_formula.time + overhead)


def test_the_first_token_takes_the_prefill_and_the_second_a_decode_over_prompt_and_first_token() -> None:
    profile = load_profile("a100-80gb/llama-2-70b/tp4-vllm-2023")
    first, second = first_and_second_token(profile, 32, 512)  # more tokens than an iteration has by default
    assert first == pytest.approx(profile.latency.step_time(Batch(32 * 512, 0, 32 * 512 * 513 // 2, 0, 0, 32)))
    assert second == pytest.approx(profile.latency.step_time(Batch(0, 0, 0, 32, 32 * 513, 32)))


def test_tables_that_are_a_quarter_slower_are_found_to_be(made: Path) -> None:
    cases = [*whole_batches(made).cases, *whole_iterations(made)]
    own = [case for case in cases if case.role in (Role.FITTED, Role.UNSEEN)]
    assert {case.quantity for case in own} == set(Quantity)
    assert [case.error for case in own] == pytest.approx([-0.2] * len(own))


def test_what_the_simulation_knew_of_a_batch(tmp_path: Path) -> None:
    rows = [
        ("a100-40", 1, "vLLM", "llama-3-8b", 128, 1, 2.0),
        ("a100-40", 2, "vLLM", "llama-3-8b", 128, 1, 2.0),
        ("a100-40", 2, "vLLM", "llama-3-8b", 2048, 1, 128 * WEIGHTS_TIME),
        ("h100-80", 1, "vLLM", "llama-3-8b", 128, 1, 1.0),
        ("a100-40", 1, "vLLM", "llama-3-8b", 2048, 64, 125.0),
        ("a100-40", 1, "vLLM", "llama-2-7b", 128, 1, 2.0),
        ("a100-40", 2, "vLLM", "llama-2-7b", 128, 1, 2.0),
        ("mi250-128", 1, "vLLM", "llama-2-7b", 128, 1, 2.0),
    ]
    write_batches(tmp_path, rows)
    found = whole_batches(tmp_path)
    roles = [(case.profile.rpartition("gb/")[2], case.role) for case in found.cases]
    # the pair that has a batch faster than its weights can be read is none that a preset is fitted on
    assert roles == [
        ("llama-3-8b/tp1", Role.FITTED),
        ("llama-3-8b/tp2", Role.UNSEEN),
        ("llama-3-8b/tp1", Role.UNSEEN),
        ("llama-3-8b/tp1", Role.OVERFULL),
        ("llama-2-7b/tp1", Role.CHOSEN),
        ("llama-2-7b/tp2", Role.ESTIMATE),
    ]
    assert [row.length for row in found.impossible] == [2048]
    assert [row.device for row in found.uncovered] == ["mi250-128gb"]


def test_a_batch_that_no_equal_prompts_make_is_refused(tmp_path: Path) -> None:
    write_iterations(tmp_path, ["decode,0,0,0,0,3,400,0.05,splitwise-measured-2023"])
    with pytest.raises(ValueError, match="400 tokens of 3 requests"):
        whole_iterations(tmp_path)


def test_a_spread_counts_absolute_errors_and_names_the_worst() -> None:
    def case(simulated: float) -> Case:
        return Case(Quantity.E2E, Role.UNSEEN, "vLLM 2024", "a/b/tp1", 1, 128, 1.0, simulated)

    found = spread([case(1.1), case(0.7), case(1.0), case(1.2)])
    assert (found.bias, found.mean) == pytest.approx((0.0, 0.15))
    assert found.within_20 == 0.75
    assert found.worst.simulated == 0.7
    with pytest.raises(ValueError, match="no cases"):
        spread([])


def test_a_page_needs_the_folder_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TABLES, raising=False)
    with pytest.raises(ValueError, match=TABLES):
        write_page(tmp_path, quick=True, jobs=1, quiet=True)


@pytest.fixture(scope="module")
def tables(shared: Path) -> Path:
    return shared / "calibration" / "tables"


@pytest.fixture(scope="module")
def batches(tables: Path) -> Batches:
    return whole_batches(tables)


@pytest.fixture(scope="module")
def cases(tables: Path, batches: Batches) -> list[Case]:
    return [*batches.cases, *whole_iterations(tables)]


@pytest.mark.parametrize("framework", PRESETS)
def test_the_pairs_called_fitted_are_those_of_the_preset_with_its_error(
    tables: Path, batches: Batches, framework: str
) -> None:
    preset = load_overhead(PRESETS[framework])
    assert preset.in_sample is not None
    engine = f"{framework} 2024"
    pairs = fitted_pairs(read_whole_batches(tables / WHOLE_BATCHES), framework)
    own = [case for case in batches.cases if case.engine == engine and case.role is Role.FITTED]
    assert (len(pairs), len(own)) == (preset.in_sample.pairs, preset.in_sample.rows)
    assert 100 * spread(own).mean == pytest.approx(preset.in_sample.with_overhead, abs=0.01)


def test_the_page_is_what_the_tables_give(batches: Batches, cases: list[Case]) -> None:
    kept = (HOME / "VALIDATION.md").read_text(encoding="utf-8")
    made_on = date.fromisoformat(re.findall(r"Made on (\S+)", kept)[0])
    assert page_text(batches, cases, made_on) == kept


def test_every_kind_of_miss_is_there(cases: list[Case]) -> None:
    assert [found.miss for found in misses(cases)] == list(MISSES)


def test_page_and_figures_are_written_from_any_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TABLES, str(made))
    (out := tmp_path / "out").mkdir()
    write_page(out, quick=True, jobs=1, quiet=True)
    assert {path.name for path in out.iterdir()} == {"VALIDATION.md", "validation.png", "validation_errors.png"}
    text = (out / "VALIDATION.md").read_text(encoding="utf-8")
    assert "vLLM 2024: 20.0 %" in text
