"""What greedy packing loses against the best choice, over random cases: `python -m policies.andes.greedy_gap`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policies.andes.knapsack import Floats, by_density, exact, greedy

SIZES = (8, 20, 60)
_QUANTILES = (0.5, 0.9, 0.99, 1.0)


class GapCase(NamedTuple):
    """One random knapsack: what greedy packing gains, what can be gained, and the largest single gain."""

    greedy: float
    best: float
    largest: float


def random_case(num_items: int, binding: bool, number: int) -> GapCase:
    """Case `number` of so many requests, the same with and without a binding count limit.

    Gains are uniform on (0, 1), contexts exponential with a mean of 20 blocks, and the memory holds half of all
    blocks. A binding count limit is three quarters of what greedy packing takes without one.
    """
    rng = np.random.default_rng([404, num_items, number])
    gain = rng.random(num_items)
    size = 1 + rng.exponential(20.0, num_items).astype(np.int64)
    capacity = max(int(size.sum()) // 2, int(size.max()))
    order = by_density(gain, size)
    limit = num_items
    if binding:
        limit = max(1, int(greedy(order, size, num_items, capacity).sum()) * 3 // 4)
    taken = greedy(order, size, limit, capacity)
    return GapCase(float(gain[taken].sum()), exact(gain, size, limit, capacity), float(gain.max()))


def relative_gaps(num_items: int, binding: bool, num_cases: int = 1000) -> Floats:
    """What greedy packing loses, as a share of the best choice, (num_cases,)."""
    drawn = [random_case(num_items, binding, number) for number in range(num_cases)]
    return np.array([1.0 - case.greedy / case.best for case in drawn])


def table(num_cases: int = 1000) -> str:
    """The distribution of the gap as a Markdown table, per cent of the best choice."""
    lines = [
        "| requests | count limit | mean | median | 90 % | 99 % | worst | no loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for num_items in SIZES:
        for binding in (False, True):
            gaps = relative_gaps(num_items, binding, num_cases)
            cells = [gaps.mean(), *np.quantile(gaps, _QUANTILES)]
            shown = " | ".join(f"{100 * cell:.1f}" for cell in cells)
            none = f"{100 * float((gaps < 1e-12).mean()):.0f}"
            lines.append(f"| {num_items} | {'binding' if binding else 'slack'} | {shown} | {none} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
