"""Profiles of a device without tables, derived from those of a device with the same die."""

from __future__ import annotations

from hardware_profiles.coefficients import Coefficients
from hardware_profiles.datasheets import Device, efficiencies, kv_capacity, load_model, physical_bounds
from hardware_profiles.from_table import rounded
from hardware_profiles.profile import Profile

MEMORY_BOUND = ("t0", "s_lo", "k", "kp")
"""Coefficients that grow with the time that HBM takes; the others are arithmetic, and the same die does it."""


def derive(profile: Profile, base: Device, device: Device) -> Profile:
    """`profile` of `base` on `device`: the memory-bound terms times the ratio of the HBM bandwidths.

    Raises ValueError if the model does not fit. The errors of the base are not those of the result, which has none.
    """
    model = load_model(profile.model)
    ratio = base.hbm_bytes_per_s / device.hbm_bytes_per_s
    latency = profile.coefficients.latency()
    scaled = rounded(latency.model_copy(update={name: getattr(latency, name) * ratio for name in MEMORY_BOUND}))
    rule = f"derived from {profile.name}: {', '.join(MEMORY_BOUND)} × {ratio:.2f}, the rest as it is; not measured"
    return Profile.model_validate(
        {
            **dict(profile),
            "name": profile.name.replace(f"{base.name}/", f"{device.name}/", 1),
            "kind": "derived",
            "device": device.name,
            "coefficients": Coefficients.of(scaled),
            "kv_capacity": kv_capacity(device, model, profile.tp),
            "efficiencies": efficiencies(scaled, physical_bounds(device, model, profile.tp)),
            "errors": None,
            "table": None,
            "table_errors": None,
            "warnings": (rule, *profile.warnings),
        }
    )
