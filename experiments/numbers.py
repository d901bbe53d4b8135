"""Numbers for people: as many digits as are worth reading."""

from __future__ import annotations

from math import floor, isfinite, isnan, log10


def number(value: float, digits: int = 3, most_decimals: int = 9) -> str:
    """The value to `digits` significant digits, whole above that, and a dash where it is undefined."""
    if not isfinite(value):
        return "–" if isnan(value) else str(value)
    text = f"{value:.{min(_decimals(value, digits), most_decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and value == round(value) else text


def with_half_width(mean: float, half_width: float, most_decimals: int = 9) -> str:
    """Both to the decimal place of the half-width's second significant digit, at most four digits in all."""
    if half_width == 0:
        return number(mean, most_decimals=most_decimals)
    decimals = min(_decimals(half_width, 2), _decimals(mean, 4), most_decimals)
    return f"{mean:.{decimals}f} ±{half_width:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - floor(log10(abs(value)))) if value else digits - 1
