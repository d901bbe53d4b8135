"""The fit finds coefficients that it was not told, keeps to physics, and its errors are on rows unseen."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from hardware_profiles import load_profile
from hardware_profiles.build import profile_of_table, table_sources, tables_in
from hardware_profiles.datasheets import PhysicalBounds, load_device, load_model, physical_bounds
from hardware_profiles.fit import check_plausible, fit, fit_table
from hardware_profiles.from_table import profile_from_table, rounded, write_record
from hardware_profiles.naming import table_name, table_names
from hardware_profiles.regression import least_relative_error
from hardware_profiles.table_latency import TableLatency
from hardware_profiles.tables import CalibrationTable, Row, read_table, write_table
from hardware_profiles.validation import by_kind, cross_validate, percentage_errors, step_times, top_of_range
from simulator.latency import LatencyModel, PiecewiseLinearLatency

BOUNDS = PhysicalBounds(t0=0.005, s_hi=1e-5, k=4e-8, a=5e-10)
TRUTH = PiecewiseLinearLatency(t0=0.008, s_lo=4e-6, s_hi=2e-5, n_ridge=256, k=6e-8, kp=2e-7, a=1e-9, m=0.5)


def synthetic(latency: LatencyModel, noise: float = 0.0, num_rows: int = 300) -> CalibrationTable:
    """Prefill, decode and hybrid rows in turn, each as long as `latency` says, times a factor of up to 1 ± `noise`."""
    random = np.random.default_rng(7)
    kind = np.resize(["prefill", "decode", "hybrid"], num_rows)
    prefills, decodes = kind != "decode", kind != "prefill"
    tokens = np.where(prefills, random.integers(1, 4096, num_rows), 0).astype(float)
    context = np.where(prefills, random.integers(0, 8192, num_rows), 0).astype(float)
    batch = np.where(decodes, random.integers(1, 256, num_rows), 0).astype(float)
    table = CalibrationTable(
        kind=kind,
        prefill_tokens=tokens,
        prefill_context=context,
        attention_pairs=tokens * context + tokens * (tokens + 1) / 2,
        decode_batch=batch,
        kv_tokens=batch * random.integers(16, 4096, num_rows),
        num_requests=batch + prefills,
        latency=np.ones(num_rows),
        source="synthetic",
    )
    exact = step_times(latency, table)
    return CalibrationTable(**{**vars(table), "latency": exact * (1 + noise * random.uniform(-1, 1, num_rows))})


def test_fit_recovers_known_coefficients() -> None:
    found = fit(synthetic(TRUTH), BOUNDS)
    assert found.m == TRUTH.m
    assert abs(found.n_ridge / TRUTH.n_ridge - 1) < 0.1
    for name in ("t0", "s_hi", "k", "kp", "a"):
        assert getattr(found, name) == pytest.approx(getattr(TRUTH, name), rel=0.05)
    assert percentage_errors(found, synthetic(TRUTH)).mean() < 0.2


def test_fit_is_deterministic_and_not_led_astray_by_outliers() -> None:
    table = synthetic(TRUTH)
    outliers = CalibrationTable(**{**vars(table), "latency": np.where(np.arange(300) % 20, 1.0, 3.0) * table.latency})
    assert fit(outliers, BOUNDS) == fit(outliers, BOUNDS)
    assert percentage_errors(fit(outliers, BOUNDS), table).mean() < 1


def test_no_coefficient_falls_below_its_physical_bound() -> None:
    faster = PiecewiseLinearLatency(t0=0.004, s_lo=0, s_hi=5e-6, n_ridge=256, k=1e-8, kp=0, a=1e-10)
    for latency in (fit(synthetic(faster), BOUNDS), rounded(fit(synthetic(faster), BOUNDS))):
        for name, bound in BOUNDS._asdict().items():
            assert bound <= getattr(latency, name) <= 1.2 * bound


def test_composed_tables_have_no_hybrid_cost() -> None:
    assert fit(synthetic(TRUTH), BOUNDS, hybrid_cost=False).m == 0


def test_knots_follow_what_two_slopes_cannot() -> None:
    steps = TableLatency(
        tokens=(1, 64, 65, 512, 513, 4096), seconds=(0.008, 0.008, 0.014, 0.016, 0.03, 0.09), k=6e-8, kp=0, a=1e-9
    )
    table = synthetic(steps, num_rows=900)
    from_knots = percentage_errors(fit_table(table, BOUNDS), table).mean()
    assert from_knots < 0.6 * percentage_errors(fit(table, BOUNDS), table).mean()


@pytest.mark.parametrize(
    ("tokens", "seconds", "message"),
    [
        ((1, 2, 3), (0.1, 0.1), "3 knots, but 2 times"),
        ((2, 2), (0.1, 0.1), "not strictly increasing"),
        ((-1, 2), (0.1, 0.1), "not strictly increasing"),
        ((1, 2), (0.0, 0.1), "not positive"),
        ((1, 2), (0.2, 0.1), "nowhere falling"),
    ],
)
def test_knots_that_cannot_be_are_refused(tokens: tuple[int, ...], seconds: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableLatency(tokens=tokens, seconds=seconds, k=6e-8, kp=0, a=1e-9)


def test_cross_validation_measures_the_noise_that_no_fit_can_know() -> None:
    errors = cross_validate(synthetic(TRUTH, noise=0.1), lambda rows: fit(rows, BOUNDS))
    assert errors.overall == pytest.approx(5, abs=0.7)
    assert errors.by_kind.keys() == {"prefill", "decode", "hybrid"}
    assert errors.top_of_range == pytest.approx(5, abs=2)
    assert errors.overall < errors.p95 < 12


def test_top_of_range_is_the_slowest_of_each_kind() -> None:
    table = synthetic(TRUTH)
    top = top_of_range(table)
    for kind in ("prefill", "decode", "hybrid"):
        rows = table.kind == kind
        assert top[rows].sum() == 8
        assert table.latency[rows & top].min() > table.latency[rows & ~top].max()


def test_absolute_errors_give_the_median_and_squares_the_mean() -> None:
    target = np.array([1.0, 1.0, 1.0, 2.0])
    design, lower, importance = np.ones((4, 1)), np.zeros(1), np.ones(4)
    absolute = least_relative_error(design, target, lower, importance).coefficients
    squares = least_relative_error(design, target, lower, importance, reweightings=1).coefficients
    assert absolute[0] == pytest.approx(1.0, abs=0.01)
    assert squares[0] == pytest.approx((1 + 1 + 1 + 1 / 2) / (1 + 1 + 1 + 1 / 4))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda table: table.rows(np.arange(300) < 9), "9 rows are too few for a fit: at least 16"),
        (lambda table: table.rows(table.kind != "decode"), "no decode rows"),
        (lambda table: table.rows(table.kind != "prefill"), "no prefill rows"),
        (lambda table: CalibrationTable(**{**vars(table), "kv_tokens": table.decode_batch * 0 + 7}), "kv_tokens"),
    ],
)
def test_table_that_does_not_cover_the_model_is_refused(rows, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        fit(rows(synthetic(TRUTH)), BOUNDS)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_latencies_in_another_unit_are_absurd(factor: float) -> None:
    table = synthetic(TRUTH)
    check_plausible(table, BOUNDS)
    with pytest.raises(ValueError, match=r"row 1: latency_s = .*300 rows are"):
        check_plausible(CalibrationTable(**{**vars(table), "latency": factor * table.latency}), BOUNDS)


HEADER = "kind,prefill_reqs,prefill_tokens,prefill_context,attn_pairs,decode_batch,kv_tokens,latency_s\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,prefill_reqs\nprefill,1\n", r"t.csv:1: missing columns: prefill_tokens, .*latency_s"),
        (HEADER, r"t.csv: no rows"),
        (HEADER + "decode,0,0,0,0,1,16,-0.1\n", r"t.csv:2: latency_s = '-0.1': not between 0 and 600 seconds"),
        (HEADER + "decode,0,0,0,0,1,16,0.1\ndecode,0,0,0,0,1,16,x\n", r"t.csv:3: latency_s = 'x': not a number"),
        (HEADER + "decode,0,0,0,0,1.5,16,0.1\n", r"t.csv:2: decode_batch = '1.5': not a count"),
        (HEADER + "decode,0,0,0,0,1\n", r"t.csv:2: kv_tokens = None: not a number"),
        (HEADER + "decode,1,9,0,45,1,16,0.1\n", r"t.csv:2: kind = 'decode', but prefill_tokens = 9"),
        (HEADER + "verify,1,9,0,45,1,16,0.1\n", r"t.csv:2: kind = 'verify': not one of prefill, decode, hybrid"),
    ],
)
def test_bad_table_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(file)


def test_written_table_reads_back(tmp_path: Path) -> None:
    rows = [Row("hybrid", 1, 8, 4, 68, 2, 30, 0.0125, "mine"), Row("decode", 0, 0, 0, 0, 3, 48, 0.01, "mine")]
    write_table(rows, tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert table.batches() == [(8, 4, 68, 2, 30, 3), (0, 0, 0, 3, 48, 3)]
    assert table.latency.tolist() == [0.0125, 0.01]
    assert table.source == "mine"
    assert table.range().tokens == (3, 10)


def test_fitted_profile_reads_back_from_yaml(tmp_path: Path) -> None:
    device, model = load_device("h100-80gb"), load_model("llama-3-8b")
    table = synthetic(fit(synthetic(TRUTH), physical_bounds(device, model, 1)))
    source = table_sources()["llmservingsim2-vllm0.19"]
    name = "h100-80gb/llama-3-8b/tp1-mine"
    profile = profile_from_table(table, device, model, 1, name, source, date(2026, 1, 2))
    write_record(profile, tmp_path / "mine.yaml")
    assert load_profile(tmp_path / "mine.yaml") == profile
    assert profile.errors
    assert profile.errors.overall < 1


def test_tables_are_named_after_their_files() -> None:
    names = table_names(
        Path(f"{stem}_train.csv")
        for stem in (
            "a100-80_llama-3-8b_tp1",
            "a100-80_llama-3-8b_tp1_vidur",
            "a100-80_llama-2-70b_tp4_vidur",
            "splitwise_h100-80gb-pcap_llama2-70b_tp4",
        )
    )
    assert {name.profile for name in names.values()} == {
        "a100-80gb/llama-3-8b/tp1",
        "a100-80gb/llama-3-8b/tp1-vidur",
        "a100-80gb/llama-2-70b/tp4",
        "h100-80gb/llama-2-70b/tp4-vllm-2023-pcap",
    }
    with pytest.raises(ValueError, match=r"x.csv: not named DEVICE_MODEL_tpN"):
        table_name(Path("x.csv"))


@pytest.mark.parametrize(
    "name", ["a100-80gb/llama-3-8b/tp1", "h100-80gb/llama-3-8b/tp1", "rtx4090-24gb/llama-3-8b/tp1"]
)
def test_shipped_profile_is_what_the_fit_makes_of_its_table(shared: Path, name: str) -> None:
    paths = {name.profile: (path, name) for path, name in tables_in(shared / "calibration" / "tables").items()}
    shipped = load_profile(name)
    again = profile_of_table(*paths[name], shipped.source.date)
    for coefficient, value in shipped.coefficients.latency():
        assert getattr(again.coefficients.latency(), coefficient) == pytest.approx(value, rel=1e-4)
    assert again.errors == shipped.errors
    assert again.model_dump(exclude={"coefficients", "table"}) == shipped.model_dump(exclude={"coefficients", "table"})


def test_every_table_has_a_shipped_profile_within_its_error(shared: Path) -> None:
    tables = tables_in(shared / "calibration" / "tables")
    assert len(tables) == 53
    for path, name in tables.items():
        profile, table = load_profile(name.profile), read_table(path)
        assert profile.errors
        seen = percentage_errors(profile.latency, table)
        assert seen.mean() <= 1.3 * profile.errors.overall
        assert by_kind(seen, table).keys() == profile.errors.by_kind.keys()


def test_cross_validated_errors_of_the_data_centre_gpus_are_small() -> None:
    from hardware_profiles import profile_names

    profiles = [load_profile(name) for name in profile_names() if name.startswith(("a100-80", "h100-80", "h200"))]
    errors = [p.errors.overall for p in profiles if p.errors and p.kind == "composed"]
    assert len(errors) == 29
    assert np.mean(errors) <= 4
    assert max(errors) <= 6
