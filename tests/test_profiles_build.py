"""What ships is what `python -m hardware_profiles.build` makes of the tables, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware_profiles import load_profile, profile_names
from hardware_profiles.build import WHOLE_BATCHES, derived_profiles, main, profile_of_table, tables_in
from hardware_profiles.loader import data_folder

SHIPPED = Path(str(data_folder("")))
MEASURED = ("h100-80gb/llama-3-8b/tp1-measured", "h200-141gb/llama-3-8b/tp1-measured")
MADE_FROM_TABLES = ("roofline_error.yaml", "overheads", "profiles")


@pytest.fixture
def tables(shared: Path) -> Path:
    return shared / "calibration" / "tables"


@pytest.fixture
def two_tables(tables: Path, tmp_path: Path) -> Path:
    """The least folder of tables that an overhead can be fitted from: one model on one GPU and on two."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in (WHOLE_BATCHES, "a100-80_llama-3-8b_tp1_train.csv", "a100-80_llama-3-8b_tp2_train.csv"):
        (folder / name).symlink_to(tables / name)
    return folder


def made(folder: Path) -> Iterator[str]:
    """Names of the files below a folder."""
    return (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.yaml")))


def build(tables: Path, out: Path) -> None:
    date = load_profile("a100-80gb/llama-3-8b/tp1").source.date
    assert main([str(tables), "--out", str(out), "--date", date.isoformat()]) == 0


def test_profiles_follow_from_their_own_tables_alone(
    two_tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    build(two_tables, out)
    profiles = [f"a100-{gb}gb/llama-3-8b/tp{tp}" for gb in (40, 80) for tp in (1, 2)]
    profiles += ["a100-80gb/qwen2.5-14b/tp1", *MEASURED]
    assert sorted(profiles) == sorted(line.split()[0] for line in capsys.readouterr().out.splitlines())
    for profile in profiles:
        name = f"profiles/{profile}.yaml"
        assert (out / name).read_bytes() == (SHIPPED / name).read_bytes(), name
    overheads = {f"overheads/{name}.yaml" for name in ("none", "vllm-2024", "tensorrt-llm-2024")}
    assert set(made(out)) == {f"profiles/{name}.yaml" for name in profiles} | overheads | {"roofline_error.yaml"}


def test_a_model_that_does_not_fit_the_other_device_is_not_derived() -> None:
    fits = load_profile("a100-80gb/llama-3-70b/tp4")
    halved = fits.model_copy(update={"tp": 2, "name": "a100-80gb/llama-3-70b/tp2"})
    assert [profile.name for profile in derived_profiles({"fits": fits, "halved": halved})] == [
        "a100-40gb/llama-3-70b/tp4"
    ]


def test_a_profile_says_that_the_power_was_capped(tables: Path) -> None:
    named = {name.profile: (path, name) for path, name in tables_in(tables).items() if "llama-2-70b" in name.model}
    for name, capped in (
        ("h100-80gb/llama-2-70b/tp2-vllm-2023-pcap", True),
        ("h100-80gb/llama-2-70b/tp2-vllm-2023", False),
    ):
        shipped = load_profile(name)
        assert profile_of_table(*named[name], shipped.source.date).warnings == shipped.warnings
        assert ("the GPU's power was capped" in shipped.warnings) is capped


@pytest.mark.slow
def test_everything_that_ships_is_made_anew(tables: Path, tmp_path: Path) -> None:
    build(tables, tmp_path)
    assert len([name for name in made(tmp_path) if name.startswith("profiles")]) == len(profile_names())
    shipped = {name for name in made(SHIPPED) if name.split("/")[0] in MADE_FROM_TABLES}
    assert set(made(tmp_path)) == shipped
    assert [name for name in shipped if (tmp_path / name).read_bytes() != (SHIPPED / name).read_bytes()] == []
