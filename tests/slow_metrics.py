"""Metrics token by token, in fractions, as their papers print them: slow, obvious and exact."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor

Times = Sequence[Fraction]


def fractions(times: Sequence[float]) -> list[Fraction]:
    return [Fraction(t) for t in times]


def ideal(n: int, ttft: Fraction, speed: Fraction) -> list[Fraction]:
    return [ttft + i / speed for i in range(n)]


def digested(tokens: Times, ttft: Fraction, speed: Fraction) -> list[Fraction]:
    """When a reader who is ready at `ttft` takes in each token."""
    taken: list[Fraction] = []
    for t in tokens:
        taken.append(max(t, taken[-1] + 1 / speed) if taken else max(t, ttft))
    return taken


def qoe_v2(tokens: Times, ttft: Fraction, speed: Fraction) -> Fraction:
    """Andes v2 from its sums; times since submission; at least two tokens."""
    due, taken = ideal(len(tokens), ttft, speed), digested(tokens, ttft, speed)
    delay = sum(d - i for d, i in zip(taken, due, strict=True))
    return 1 - delay / sum(taken[-1] - i for i in due)


def qoe_areas(
    tokens: Times, ttft: Fraction, speed: Fraction, lines: bool, end: Fraction | None = None, asked: int | None = None
) -> Fraction:
    """Area under the digested curve over that under the expected one; None if nothing was expected by then."""
    asked = len(tokens) if asked is None else asked
    due, taken = ideal(asked, ttft, speed), digested(tokens, ttft, speed)
    if end is None:
        end = taken[-1] + (1 / speed if lines else 0)

    def curve(starts: Times) -> Callable[[Fraction], Fraction]:
        if lines:
            return lambda t: sum((min(max((t - x) * speed, Fraction(0)), Fraction(1)) for x in starts), Fraction(0))
        return lambda t: Fraction(sum(x <= t for x in starts))

    edges = sorted({Fraction(0), end, *(x + k / speed for x in (*due, *taken) for k in (0, 1))})
    edges = [x for x in edges if 0 <= x <= end]
    expected, got = _area(curve(due), edges), _area(curve(taken), edges)
    return got / expected if expected else Fraction(1)


def _area(f: Callable[[Fraction], Fraction], edges: Times) -> Fraction:
    """Exact for a curve that is linear between edges."""
    return sum(((b - a) * f((a + b) / 2) for a, b in pairwise(edges)), Fraction(0))


def fluidity(tokens: Times, ttft: Fraction, tbt: Fraction) -> Fraction:
    """Etalon's loop over the gaps; times since submission; at least one token."""
    slack, before, total, missed = Fraction(0), Fraction(0), 0, 0
    for i, t in enumerate(tokens):
        gap, deadline = t - before, tbt if i else ttft
        before = t
        if gap <= deadline + slack:
            slack += deadline - gap
            total += 1
            continue
        m = floor((gap - slack) / tbt) if i else floor((gap - slack - ttft) / tbt) + 1
        total, missed, slack = total + m, missed + m, Fraction(0)
    return Fraction(total - missed, total)


def effective_tokens(tokens: Times, speed: Fraction, output_length: int) -> Fraction:
    """TokenFlow's weights from what a reader, who starts with the first token, has still to read of each."""
    weights = Fraction(0)
    taken = digested(tokens, Fraction(0), speed)
    for i, t in enumerate(tokens):
        unread = sum((min(max((x + 1 / speed - t) * speed, Fraction(0)), Fraction(1)) for x in taken[:i]), Fraction(0))
        share = unread / max(output_length, len(tokens))
        weights += min(max((Fraction(2, 10) - share) * 10, Fraction(0)), Fraction(1))
    return weights
