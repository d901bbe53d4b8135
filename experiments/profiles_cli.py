"""`smoothserve profiles`: list, show, fit, check, estimate and measure hardware profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hardware_profiles import Profile
    from hardware_profiles.datasheets import ModelShape
    from hardware_profiles.tables import Row

app = typer.Typer(
    name="profiles",
    help="List, inspect, fit, check and measure hardware profiles.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
_NARROWEST_TABLE = 100

Name = Annotated[str, typer.Argument(metavar="PROFILE", help="Name, or a YAML file; +table and +PRESET behind it.")]
TableFile = Annotated[Path, typer.Argument(metavar="TABLE.csv", help="Calibration table.")]
DeviceName = Annotated[str, typer.Option("--device", metavar="NAME", help="Device, or a YAML file of one.")]
ModelName = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model, or a YAML file of one.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="config.json of a Hugging Face model, instead of --model."),
]
Degree = Annotated[int, typer.Option("--tp", metavar="N", min=1, help="GPUs of a replica (tensor parallelism).")]
OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the profile here, as YAML.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _profiles(ctx: typer.Context) -> None:
    """List, inspect, fit, check and measure hardware profiles."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command(name="list")
def list_profiles(as_json: AsJson = False) -> None:
    """Show the profiles that ship with smoothserve: kind, errors on unseen rows and KV capacity."""
    from experiments.profile_views import list_table, summary_row
    from hardware_profiles import load_profile, profile_names

    profiles = [load_profile(name) for name in profile_names()]
    if as_json:
        _print_json([summary_row(profile) for profile in profiles])
    else:
        _print_rich(list_table(profiles))


@app.command()
def show(
    name: Name,
    as_json: AsJson = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the picture goes, a PNG.  [default: profile_NAME.png]")
    ] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw no picture.")] = False,
) -> None:
    """Show a profile: coefficients, what they imply, KV capacity, errors, warnings, and a picture of step times."""
    from experiments.profile_views import save_picture
    from hardware_profiles import load_profile

    profile = load_profile(name)
    _report(profile, as_json)
    if not no_picture and not (as_json and picture is None):
        path = picture or Path(f"profile_{profile.name.replace('/', '_')}.png")
        save_picture(profile, path)
        typer.echo(f"picture: {path}", err=as_json)


@app.command()
def fit(
    table: TableFile,
    device: DeviceName,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the profile here, as YAML.")],
    model: ModelName = None,
    config: ConfigFile = None,
    tp: Degree = 1,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="The latencies hold the engine's CPU time: no overhead suits them.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Licence of the table.")] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Fit a profile to a calibration table, and report its errors on rows that the fit did not see."""
    from hardware_profiles.datasheets import load_device
    from hardware_profiles.from_table import TableSource, profile_from_table, write_record
    from hardware_profiles.tables import read_table

    rows, gpu, shape = read_table(table), load_device(device), _shape(model, config)
    source = TableSource(
        kind="measured",
        origin=rows.source or table.name,
        licence=licence,
        hybrid="measured" if (rows.kind == "hybrid").any() else "none",
        overhead="none" if cpu_time else "vllm-2024",
    )
    try:
        profile = profile_from_table(rows, gpu, shape, tp, f"{gpu.name}/{shape.name}/tp{tp}", source, date.today())
    except ValueError as error:
        raise ValueError(f"{table}: {error}") from error
    write_record(profile, out)
    _report(profile, as_json)


@app.command()
def check(
    name: Name,
    table: TableFile,
    worst: Annotated[int, typer.Option(metavar="N", min=0, help="Rows of greatest error to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Check a profile against a table that it was not fitted to: errors in percent, overall and by kind."""
    import numpy as np

    from hardware_profiles import load_profile
    from hardware_profiles.tables import read_table
    from hardware_profiles.validation import by_kind, percentage_errors, step_times

    profile, rows = load_profile(name), read_table(table)
    errors, predicted = percentage_errors(profile.latency, rows), step_times(profile.latency, rows)
    order = np.argsort(-errors, kind="stable")[:worst].tolist()
    result = {
        "profile": profile.name,
        "table": str(table),
        "num_rows": len(rows),
        "mape": float(errors.mean()),
        "p95": float(np.quantile(errors, 0.95)),
        "by_kind": by_kind(errors, rows),
        "worst": [
            {"row": i + 1, "kind": str(rows.kind[i]), "error": float(errors[i])}
            | {"latency": float(rows.latency[i]), "predicted": float(predicted[i])}
            | rows.batches()[i]._asdict()
            for i in order
        ],
    }
    if as_json:
        _print_json(result)
        return
    kinds = ", ".join(f"{kind} {error:.2f} %" for kind, error in by_kind(errors, rows).items())
    typer.echo(f"{profile.name} on {len(rows)} rows of {table}: mean absolute error {result['mape']:.2f} % ({kinds})")
    typer.echo(f"95th percentile {result['p95']:.2f} %")
    for i in order:
        batch = ", ".join(f"{key} {value}" for key, value in rows.batches()[i]._asdict().items() if value)
        times = f"{rows.latency[i]:.6g} s, predicted {predicted[i]:.6g} s"
        typer.echo(f"{errors[i]:7.2f} %  row {i + 1}, {rows.kind[i]}: {times} ({batch})")


@app.command()
def estimate(
    device: DeviceName,
    model: ModelName = None,
    config: ConfigFile = None,
    tp: Degree = 1,
    out: OutFile = None,
    as_json: AsJson = False,
) -> None:
    """Estimate a profile from data sheets, where nobody has measured the model on the device."""
    from hardware_profiles.datasheets import load_device
    from hardware_profiles.from_table import write_record
    from hardware_profiles.roofline import estimate_profile

    profile = estimate_profile(load_device(device), _shape(model, config), tp, date.today())
    if out:
        write_record(profile, out)
    _report(profile, as_json)


@app.command()
def measure(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the calibration table here, as CSV.")],
    model: ModelName = None,
    config: ConfigFile = None,
    device: Annotated[str, typer.Option(help="PyTorch's name of the device.")] = "cuda",
    layers: Annotated[int, typer.Option(metavar="N", min=1, help="Layers timed and scaled up.")] = 4,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Timed runs of each iteration.")] = 10,
    max_kv_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Leave out iterations that hold more in their caches.")
    ] = 400_000,
) -> None:
    """Measure a calibration table on this machine's GPU (needs PyTorch), for `profiles fit`."""
    from experiments.progress import progress
    from hardware_profiles.measure import MeasurePlan, measure
    from hardware_profiles.tables import write_table

    plan = MeasurePlan(num_layers=layers, repeats=repeats, max_kv_tokens=max_kv_tokens)
    rows, planned, num_rows = measure(_shape(model, config), device, plan), len([*plan.iterations()]), 0

    def told() -> Iterator[Row]:
        nonlocal num_rows
        with progress(planned, what="iterations", doing="measuring") as update:
            for row in rows:
                yield row
                num_rows += 1
                update(num_rows)

    write_table(told(), out)
    left_out = f"; {planned - num_rows} iterations did not fit into the memory" if num_rows < planned else ""
    typer.echo(f"{num_rows} rows: {out}{left_out}")


def _shape(model: str | None, config: Path | None) -> ModelShape:
    """The model named by one of the two options; ValueError for both or neither."""
    from hardware_profiles.datasheets import load_model
    from hardware_profiles.model_config import read_model_config

    if model is not None and config is None:
        return load_model(model)
    if config is not None and model is None:
        return read_model_config(config)
    raise ValueError("give one of --model NAME and --config FILE")


def _report(profile: Profile, as_json: bool) -> None:
    from experiments.profile_views import coefficient_table, description

    if as_json:
        _print_json(profile.model_dump(mode="json"))
        return
    for line in description(profile):
        typer.echo(line)
    _print_rich(coefficient_table(profile))


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _print_rich(renderable: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(console.width, _NARROWEST_TABLE)
    console.print(renderable)
