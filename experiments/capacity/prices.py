"""Prices of GPUs: what an hour of one costs, by profile or by device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite

from hardware_profiles import load_profile
from simulator.unknown_name import unknown_name


def parse_prices(texts: Iterable[str]) -> dict[str, float]:
    """Prices spelled "NAME=USD_PER_GPU_HOUR", by name. Raises ValueError naming the text that is wrong."""
    prices: dict[str, float] = {}
    for text in texts:
        name, equals, amount = (part.strip() for part in text.rpartition("="))
        if not equals or not name:
            raise ValueError(f"price {text!r} is not of the form profile=USD_PER_GPU_HOUR")
        if name in prices:
            raise ValueError(f"price {text!r}: {name} has two prices")
        prices[name] = _amount(amount, text)
    return prices


def prices_of(profiles: Iterable[str], prices: Mapping[str, float]) -> dict[str, float | None]:
    """The price of a GPU of each profile, USD per hour: its own or that of its device, or None.

    Raises ValueError for a price of something that is neither one of the profiles nor the device of one.
    """
    devices = {profile: load_profile(profile).device for profile in profiles}
    for name in prices:
        if name not in devices and name not in devices.values():
            raise ValueError(f"price: {unknown_name('profile', name, [*devices, *dict.fromkeys(devices.values())])}")
    return {profile: prices.get(profile, prices.get(device)) for profile, device in devices.items()}


def _amount(text: str, whole: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not (isfinite(amount) and amount > 0):
        raise ValueError(f"price {whole!r}: {text!r} is not a positive number of USD per GPU-hour")
    return amount
