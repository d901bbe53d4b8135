"""What data sheets and model configurations say: peaks of devices, shapes of models, and what follows from them."""

from __future__ import annotations

import math
from typing import NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt

from hardware_profiles.coefficients import Frozen
from hardware_profiles.loader import load_record
from hardware_profiles.profile import Efficiencies, KVCapacity
from simulator.latency import PiecewiseLinearLatency

GIB = 2**30
MEMORY_UTILIZATION = 0.9
"""Share of the usable memory that an engine takes (vLLM's default gpu_memory_utilization)."""
RESERVED_GIB = 1.2
"""Activations, CUDA graphs and workspace, per GPU."""


class Device(Frozen):
    """One GPU, by its data sheet; bf16 without sparsity, all links of the GPU together and per direction."""

    name: str
    title: str
    peak_flops_per_s: PositiveFloat
    hbm_bytes_per_s: PositiveFloat
    usable_hbm_gib: PositiveFloat
    """Memory that CUDA reports as the total of the device."""
    link_bytes_per_s: PositiveFloat
    """To the other GPUs of the replica, NVLink where there is one, otherwise PCIe."""
    link: str
    pcie_bytes_per_s: PositiveFloat
    """To the host: where swapped KV blocks go."""
    source: str

    @property
    def usable_hbm_bytes(self) -> float:
        """Memory that CUDA reports, in bytes."""
        return self.usable_hbm_gib * GIB


class ModelShape(Frozen):
    """The sizes of a dense decoder-only transformer, as its configuration file names them."""

    name: str
    title: str
    weight_bytes: PositiveFloat
    """All parameters, embedding and LM head included."""
    num_layers: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    head_dim: PositiveInt
    vocab_size: PositiveInt
    dtype_bytes: PositiveInt = Field(default=2, description="bytes of a parameter and of a cached value")
    source: str

    @property
    def num_parameters(self) -> float:
        """Parameters, from the bytes of the weights."""
        return self.weight_bytes / self.dtype_bytes

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that the keys and values of one token take, on all GPUs of the replica together."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * self.dtype_bytes


class PhysicalBounds(NamedTuple):
    """Least values of coefficients: what a GPU at its data sheet's peaks would need."""

    t0: float
    """s: weight bytes / (TP·HBM bandwidth)."""
    s_hi: float
    """s/token: 2·parameters / (TP·peak FLOP/s)."""
    k: float
    """s/token: KV bytes per token / (min(TP, KV heads)·HBM bandwidth)."""
    a: float
    """s/pair: 4·layers·heads·head_dim / (TP·peak FLOP/s)."""


def load_device(name: str) -> Device:
    """The device of that name, or the one in the YAML file at that path; raises ValueError for an unknown one."""
    return load_record("devices", name, Device, what="device")


def load_model(name: str) -> ModelShape:
    """The model shape of that name, or the one in the YAML file at that path; ValueError for an unknown one."""
    return load_record("models", name, ModelShape, what="model")


def kv_split(model: ModelShape, tp: int) -> int:
    """GPUs over which the KV cache is split: beyond one KV head per GPU the heads are replicated."""
    return min(tp, model.num_kv_heads)


def physical_bounds(device: Device, model: ModelShape, tp: int) -> PhysicalBounds:
    """Lower bounds on the coefficients for `tp` GPUs, from the peaks of the data sheet.

    The bound of s_hi counts every parameter, embedding and LM head included, as the customary MFU does.
    """
    flops = tp * device.peak_flops_per_s
    return PhysicalBounds(
        t0=model.weight_bytes / (tp * device.hbm_bytes_per_s),
        s_hi=2 * model.num_parameters / flops,
        k=model.kv_bytes_per_token / (kv_split(model, tp) * device.hbm_bytes_per_s),
        a=4 * model.num_layers * model.num_heads * model.head_dim / flops,
    )


def efficiencies(latency: PiecewiseLinearLatency, bounds: PhysicalBounds) -> Efficiencies:
    """Shares of the peaks that the coefficients imply; None where a coefficient is 0 or below its bound."""

    def share(bound: float, value: float) -> float | None:
        return float(f"{bound / value:.4g}") if value > 0 and bound / value <= 1 + 1e-9 else None

    return Efficiencies(
        mfu=share(bounds.s_hi, latency.s_hi),
        attention_mfu=share(bounds.a, latency.a),
        weights_bandwidth=share(bounds.t0, latency.t0),
        kv_bandwidth=share(bounds.k, latency.k),
    )


def kv_capacity(device: Device, model: ModelShape, tp: int) -> KVCapacity:
    """Tokens of KV cache: floor((0.9·HBM − weight bytes/TP − 1.2 GiB) / (KV bytes per token / min(TP, KV heads))).

    Raises ValueError if the weights leave no room.
    """
    room = MEMORY_UTILIZATION * device.usable_hbm_bytes - model.weight_bytes / tp - RESERVED_GIB * GIB
    per_token = model.kv_bytes_per_token / kv_split(model, tp)
    tokens = math.floor(room / per_token)
    if tokens <= 0:
        raise ValueError(
            f"{model.name} does not fit on {tp} × {device.name}: weights take "
            f"{model.weight_bytes / tp / GIB:.1f} GiB of the {device.usable_hbm_gib:g} GiB of each"
        )
    follows = (
        f"floor(({MEMORY_UTILIZATION:g} · {device.usable_hbm_gib:g} GiB − {model.weight_bytes / tp / 1e9:.2f} GB "
        f"weights − {RESERVED_GIB:g} GiB) / {per_token:.0f} B per token) on each GPU"
    )
    return KVCapacity(tokens=tokens, follows=follows)
