"""Estimates a profile from data sheets, for a device and a model that nobody has measured together."""

from __future__ import annotations

from datetime import date

from pydantic import Field, NonNegativeFloat

from hardware_profiles.coefficients import Coefficients, Frozen
from hardware_profiles.datasheets import Device, ModelShape, efficiencies, kv_capacity, physical_bounds
from hardware_profiles.from_table import rounded
from hardware_profiles.loader import data_folder, read_record
from hardware_profiles.profile import Profile, Share, Source
from simulator.latency import PiecewiseLinearLatency


class Assumptions(Frozen):
    """What the data sheets leave open; the defaults are near the medians of the calibrated profiles."""

    mfu: Share = 0.8
    """Of the peak arithmetic, in the linear layers above the ridge."""
    attention_mfu: Share = 0.65
    weights_bandwidth: Share = 0.85
    """Of the peak HBM bandwidth, when the weights are read."""
    kv_bandwidth: Share = 0.85
    link_bandwidth: Share = 0.7
    """Of the peak link bandwidth, in an all-reduce."""
    layer_launch: NonNegativeFloat = 30e-6
    """s: kernels of a layer that no arithmetic or memory traffic explains."""
    allreduce_launch: NonNegativeFloat = 15e-6
    """s: an all-reduce of nothing; a layer has two where TP > 1."""
    ridge: NonNegativeFloat = 1.0
    """n* as a multiple of the data sheet's ridge, peak FLOP/s · dtype bytes / (2·HBM bandwidth)."""
    below_ridge: Share = 0.55
    """s_lo / s_hi."""


class RooflineError(Frozen):
    """Mean absolute percentage errors of the estimate on the calibration tables, percent."""

    mean: float = Field(ge=0)
    worst: float = Field(ge=0)
    worst_table: str
    num_tables: int = Field(ge=1)


def estimate_latency(
    device: Device, model: ModelShape, tp: int, assumptions: Assumptions | None = None
) -> PiecewiseLinearLatency:
    """The roofline's latency: each physical bound over its efficiency, plus launches and all-reduces."""
    assume = assumptions or Assumptions()
    bounds = physical_bounds(device, model, tp)
    allreduces = 2 * model.num_layers if tp > 1 else 0
    traffic = 2 * (tp - 1) / tp * model.hidden_size * model.dtype_bytes  # ring: bytes per token and direction
    launches = model.num_layers * assume.layer_launch + allreduces * assume.allreduce_launch
    s_hi = bounds.s_hi / assume.mfu + allreduces * traffic / (device.link_bytes_per_s * assume.link_bandwidth)
    return rounded(
        PiecewiseLinearLatency(
            t0=bounds.t0 / assume.weights_bandwidth + launches,
            s_lo=assume.below_ridge * s_hi,
            s_hi=s_hi,
            n_ridge=round(assume.ridge * bounds.t0 / bounds.s_hi),
            k=bounds.k / assume.kv_bandwidth,
            kp=0.0,
            a=bounds.a / assume.attention_mfu,
        )
    )


def roofline_error() -> RooflineError:
    """The error of the default assumptions, as it was when the shipped profiles were made."""
    return read_record(data_folder("") / "roofline_error.yaml", RooflineError)


def estimate_profile(
    device: Device, model: ModelShape, tp: int, made: date, assumptions: Assumptions | None = None
) -> Profile:
    """The estimated profile of `model` on `tp` GPUs; raises ValueError if the model does not fit."""
    assume = assumptions or Assumptions()
    latency = estimate_latency(device, model, tp, assume)
    stated = ", ".join(f"{name} {value:g}" for name, value in assume)
    error = roofline_error()
    return Profile(
        name=f"{device.name}/{model.name}/tp{tp}",
        kind="estimated",
        device=device.name,
        model=model.name,
        tp=tp,
        coefficients=Coefficients.of(latency),
        kv_capacity=kv_capacity(device, model, tp),
        efficiencies=efficiencies(latency, physical_bounds(device, model, tp)),
        overhead="vllm-2024",
        source=Source(
            origin=f"data sheets: {device.source}; {model.source}", licence="none: facts of data sheets", date=made
        ),
        warnings=(
            f"estimated from data sheets, nothing measured; assumed: {stated}",
            f"such estimates are {error.mean:g} % off {error.num_tables} calibration tables on average, "
            f"{error.worst:g} % off the worst ({error.worst_table})",
            "no CPU time of the engine: combine with an overhead preset, such as vllm-2024",
        ),
    )
