"""Hardware profiles for people: the list, one in full, its picture, and the errors of a check."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hardware_profiles import Profile
from simulator.latency import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_PICTURE_INCHES = (11.0, 4.2)
_WIDEST_TOKENS = 8192
_COLOURS = ("#0072B2", "#E69F00", "#000000")


def summary_row(profile: Profile) -> dict[str, Any]:
    """What the list says of a profile; errors in percent, None where nothing was measured."""
    return {
        "name": profile.name,
        "kind": profile.kind,
        "device": profile.device,
        "model": profile.model,
        "tp": profile.tp,
        "error": profile.errors.overall if profile.errors else None,
        "error_top_of_range": profile.errors.top_of_range if profile.errors else None,
        "error_from_knots": profile.table_errors.overall if profile.table_errors else None,
        "kv_capacity_tokens": profile.kv_capacity_tokens,
        "overhead": profile.overhead,
    }


def list_table(profiles: Iterable[Profile]) -> Table:
    """A rich table, a row per profile."""
    table = _table("name", "kind", "error\n%", "top of\nrange %", "knots\n%", "KV capacity\ntokens", "overhead")
    for row in map(summary_row, profiles):
        errors = (row["error"], row["error_top_of_range"], row["error_from_knots"])
        shown = ["–" if error is None else f"{error:.1f}" for error in errors]
        table.add_row(row["name"], row["kind"], *shown, f"{row['kv_capacity_tokens']:,}", row["overhead"])
    return table


def coefficient_table(profile: Profile) -> Table:
    """A rich table of the coefficients, and of what they imply where that is known."""
    implied = profile.efficiencies
    shares = {
        "t0": (implied.weights_bandwidth, "of the HBM bandwidth, reading weights"),
        "s_hi": (implied.mfu, "of the peak FLOP/s, linear layers (MFU)"),
        "k": (implied.kv_bandwidth, "of the HBM bandwidth, reading the KV cache"),
        "a": (implied.attention_mfu, "of the peak FLOP/s, prefill attention"),
    }
    table = _table("", "value", "unit", "implies")
    for name, quantity in profile.coefficients:
        share, words = shares.get(name, (None, ""))
        table.add_row(name, f"{quantity.value:.4g}", quantity.unit, f"{100 * share:.0f} % {words}" if share else "")
    return table


def description(profile: Profile) -> list[str]:
    """Lines about a profile: source, KV capacity, errors, bounds, warnings."""
    source = profile.source
    lines = [
        f"{profile.name}: {profile.kind}, {source.date}",
        f"source: {source.origin} ({source.licence})" + (f", {source.num_rows} rows" if source.num_rows else ""),
        f"KV capacity: {profile.kv_capacity_tokens:,} tokens = {profile.kv_capacity.follows}",
        f"suitable overhead preset: {profile.overhead}",
    ]
    for form, errors in (("two slopes", profile.errors), ("knots (+table)", profile.table_errors)):
        if errors:
            kinds = ", ".join(f"{kind} {error:.1f} %" for kind, error in errors.by_kind.items())
            lines.append(
                f"error with {form}, unseen rows: {errors.overall:.1f} % ({kinds}), "
                f"95th percentile {errors.p95:.1f} %, top of the range {errors.top_of_range:.1f} %"
            )
    bounds = profile.calibrated_range
    if bounds:
        ranges = ", ".join(f"{name.replace('_', ' ')} {low:,}–{high:,}" for name, (low, high) in bounds)
        lines.append(f"calibrated on: {ranges}")
    return lines + [f"warning: {warning}" for warning in profile.warnings]


def save_picture(profile: Profile, path: Path) -> None:
    """Writes a PNG of step time against tokens and against KV tokens, the calibrated ranges shaded."""
    import matplotlib as mpl

    from experiments.style import FIGURE_STYLE

    with mpl.rc_context(cast(Any, FIGURE_STYLE)):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=_PICTURE_INCHES)
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        plot_step_time_by_tokens(left, profile)
        plot_step_time_by_kv(right, profile)
        figure.suptitle(f"{profile.name} ({profile.kind})")
        figure.savefig(path, format="png")


def plot_step_time_by_tokens(ax: Axes, profile: Profile) -> Axes:
    """Step time of the prefill of one prompt against its length."""
    bounds = profile.calibrated_range
    last = max(1.5 * bounds.tokens[1] if bounds else 0, _WIDEST_TOKENS)
    tokens = np.unique(np.geomspace(1, last, 300).round().astype(int))
    batches = [Batch(n, 0, n * (n + 1) // 2, 0, 0, 1) for n in tokens.tolist()]
    times = [1e3 * profile.latency.step_time(batch) for batch in batches]
    ax.loglog(tokens, times, color=_COLOURS[0], label="prefill of one prompt")
    ax.grid(which="minor", axis="y", alpha=0.4)
    return _finish(ax, "tokens in the iteration", bounds.tokens if bounds else None)


def plot_step_time_by_kv(ax: Axes, profile: Profile) -> Axes:
    """Step time of decode-only iterations of several batch sizes against the KV tokens that they read."""
    bounds = profile.calibrated_range
    for decodes, colour in zip((128, 32, 1), _COLOURS, strict=True):
        kv = np.linspace(decodes, max(profile.kv_capacity_tokens, 2 * decodes), 50).round().astype(int)
        times = [1e3 * profile.latency.step_time(Batch(0, 0, 0, decodes, k, decodes)) for k in kv.tolist()]
        ax.plot(kv / 1000, times, color=colour, label=f"{decodes} decodes" if decodes > 1 else "1 decode")
    ax.set_ylim(bottom=0)
    calibrated = (bounds.kv_tokens[0] / 1000, bounds.kv_tokens[1] / 1000) if bounds else None
    return _finish(ax, "KV tokens read (thousands, up to the capacity)", calibrated)


def _finish(ax: Axes, xlabel: str, calibrated: tuple[float, float] | None) -> Axes:
    if calibrated and calibrated[1] < ax.get_xlim()[1]:
        ax.axvline(calibrated[1], color="#888888", linestyle=":", label="end of the calibrated range")
    ax.set_xlabel(xlabel)
    ax.set_ylabel("step time (ms)")
    ax.legend()
    return ax


def _table(*heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for head in heads:
        left = head in ("", "name", "kind", "unit", "implies", "overhead")
        table.add_column(head, justify="left" if left else "right", overflow="fold", vertical="bottom")
    return table
