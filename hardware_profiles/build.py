"""Makes every shipped profile and preset anew: `python -m hardware_profiles.build FOLDER` with the tables' folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import yaml

from hardware_profiles.coefficients import Seconds, SecondsPerSequence
from hardware_profiles.datasheets import kv_capacity, load_device, load_model
from hardware_profiles.derive import derive
from hardware_profiles.from_table import TableSource, profile_from_table, write_record
from hardware_profiles.loader import data_folder
from hardware_profiles.naming import TableName, table_name, table_names
from hardware_profiles.overhead import Overhead
from hardware_profiles.overhead_fit import fit_overhead, read_whole_batches, usable
from hardware_profiles.profile import Profile
from hardware_profiles.roofline import RooflineError, estimate_latency, estimate_profile
from hardware_profiles.tables import read_table
from hardware_profiles.validation import percentage_errors

WHOLE_BATCHES = "e2e_llm-inference-bench.csv"
FRAMEWORKS = {"vllm-2024": "vLLM", "tensorrt-llm-2024": "TensorRT-LLM"}
OVERHEAD_SOURCE = (
    "{framework} rows of argonne-lcf/LLM-Inference-Bench 4211f5d4e9 (BSD-3), whole batches of 2024, against "
    "profiles of the same device and model without CPU time; A100-40GB profiles are derived ones"
)
DERIVED = {"a100-80gb": "a100-40gb", "a800-80gb": "a100-40gb"}
"""Device with tables -> device with the same die and another memory."""
ESTIMATED = (TableName("a100-80gb", "qwen2.5-14b", 1),)


def table_sources() -> dict[str, TableSource]:
    """The known sources of calibration tables by their tag."""
    content = yaml.safe_load((data_folder("") / "sources.yaml").read_text(encoding="utf-8"))
    return {tag: TableSource.model_validate(source) for tag, source in content.items()}


def tables_in(folder: Path) -> dict[Path, TableName]:
    """The calibration tables of a folder and what they are of."""
    return table_names(folder.glob("*_train.csv"))


def own_tables() -> dict[Path, TableName]:
    """The tables that were measured by us, which ship with the package."""
    return {path: table_name(path) for path in sorted(Path(str(data_folder("tables"))).glob("*_train.csv"))}


def profile_of_table(path: Path, name: TableName, made: date) -> Profile:
    """The profile fitted to one of the tables that the shipped profiles come from, made on that day or its source's."""
    table = read_table(path)
    device, model = load_device(name.device), load_model(name.model)
    source = table_sources()[table.source]
    if name.variant.endswith("pcap"):
        source = source.model_copy(update={"notes": (*source.notes, "the GPU's power was capped")})
    return profile_from_table(table, device, model, name.tp, name.profile, source, source.made or made)


def derived_profiles(profiles: Mapping[str, Profile]) -> Iterator[Profile]:
    """Those of `profiles` that have a device of the same die to be derived for, where the model fits it."""
    for profile in profiles.values():
        target = DERIVED.get(profile.device)
        plain = profile.name == f"{profile.device}/{profile.model}/tp{profile.tp}"
        if target and plain and _fits(target, profile):
            yield derive(profile, load_device(profile.device), load_device(target))


def _fits(device: str, profile: Profile) -> bool:
    try:
        kv_capacity(load_device(device), load_model(profile.model), profile.tp)
    except ValueError:
        return False
    return True


def overheads(path: Path, profiles: Mapping[str, Profile]) -> Iterator[Overhead]:
    """No overhead, and the presets fitted to the table of whole batches."""
    zero, per_sequence = Seconds(value=0.0), SecondsPerSequence(value=0.0)
    yield Overhead(name="none", q0=zero, q0_per_further_gpu=zero, q1=per_sequence, source="by definition")
    without_cpu_time = {
        (p.device, p.tp, p.model): p
        for p in profiles.values()
        if p.overhead != "none" and p.name == f"{p.device}/{p.model}/tp{p.tp}"
    }
    rows = read_whole_batches(path)
    for name, framework in FRAMEWORKS.items():
        chosen = usable([row for row in rows if row.framework == framework], without_cpu_time)
        yield fit_overhead(name, chosen, without_cpu_time, OVERHEAD_SOURCE.format(framework=framework))


def roofline_error(tables: Mapping[Path, TableName]) -> RooflineError:
    """How far estimates from data sheets are off tables of engines without CPU time."""
    errors = {}
    for path, name in tables.items():
        if not name.variant.startswith("vllm-2023"):
            latency = estimate_latency(load_device(name.device), load_model(name.model), name.tp)
            errors[name.profile] = float(percentage_errors(latency, read_table(path)).mean())
    worst = max(errors, key=lambda name: errors[name])
    mean = float(np.mean(list(errors.values())))
    return RooflineError(mean=round(mean, 1), worst=round(errors[worst], 1), worst_table=worst, num_tables=len(errors))


def build(folder: Path, out: Path, made: date) -> Iterator[Profile]:
    """Writes everything that is fitted below `out`, and yields the profiles as they are written."""
    tables = tables_in(folder)
    write_record(roofline_error(tables), out / "roofline_error.yaml")
    profiles: dict[str, Profile] = {}
    for path, name in (tables | own_tables()).items():
        profiles[name.profile] = profile_of_table(path, name, made)
    profiles |= {profile.name: profile for profile in derived_profiles(profiles)}
    for overhead in overheads(folder / WHOLE_BATCHES, profiles):
        write_record(overhead, out / "overheads" / f"{overhead.name}.yaml")
    for device, model, tp, _ in ESTIMATED:
        profile = estimate_profile(load_device(device), load_model(model), tp, made)
        profiles[profile.name] = profile
    for profile in profiles.values():
        write_record(profile, out / "profiles" / f"{profile.name}.yaml")
        yield profile


def main(arguments: list[str] | None = None) -> int:
    """Fits, writes and reports; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of calibration tables, *_train.csv")
    parser.add_argument("--out", type=Path, default=Path(str(data_folder(""))), help="the package's data folder")
    parser.add_argument("--date", type=date.fromisoformat, default=date.today(), help="date that profiles carry")
    options = parser.parse_args(arguments)
    for profile in build(options.folder, options.out, options.date):
        errors, knots = profile.errors, profile.table_errors
        shown = f"{errors.overall:6.2f} %, top {errors.top_of_range:6.2f} %" if errors else ""
        shown += f", from knots {knots.overall:6.2f} %" if knots else ""
        print(f"{profile.name:44s} {profile.kind:9s} {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
