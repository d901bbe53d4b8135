"""A run of iterations of an unchanged batch: when each of them ends."""

from __future__ import annotations

from math import ceil, inf, sqrt


class StepRun:
    """Iteration i (from 1) takes first + (i − 1)·growth seconds, the first begins at `start`, `planned` are to come.

    told: how many of them the requests' counts know of. blocks: KV blocks held during the first.
    """

    __slots__ = ("blocks", "first", "growth", "planned", "start", "told")

    def __init__(self, start: float, first: float, growth: float, blocks: int = 0) -> None:
        self.start = start
        self.first = first
        self.growth = growth
        self.planned = 1
        self.told = 0
        self.blocks = blocks

    def boundary(self, steps: int) -> float:
        """When iteration `steps` ends, seconds: the one expression for leaping, stepping and the token log."""
        return self.start + (steps * self.first + self.growth * (steps * (steps - 1) * 0.5))

    def steps_until(self, time: float) -> int:
        """The first iteration that ends at or after `time`, the last planned one at most.

        The root of the quadratic says about which, the boundaries themselves which.
        """
        if time == inf:
            return self.planned
        linear = self.first - 0.5 * self.growth
        passed = time - self.start
        root = 2.0 * passed / (linear + sqrt(linear * linear + 2.0 * self.growth * passed))
        steps = min(max(1, ceil(root)), self.planned)
        while steps > 1 and self.boundary(steps - 1) >= time:
            steps -= 1
        while steps < self.planned and self.boundary(steps) < time:
            steps += 1
        return steps
