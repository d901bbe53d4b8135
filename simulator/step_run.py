"""A run of iterations of an unchanged batch: when each of them ends."""

from __future__ import annotations

from math import ceil, inf, sqrt


class StepRun:
    """Iteration i (from 1) takes first + (i − 1)·growth seconds, the first begins at `start`, `planned` are to come.

    longest: how many there are if nothing happens. told: how many of them the requests' counts know of. blocks: KV
    blocks held during the first.
    """

    __slots__ = ("blocks", "first", "growth", "longest", "planned", "start", "told")

    def __init__(self, start: float, first: float, growth: float, blocks: int = 0) -> None:
        self.start = start
        self.first = first
        self.growth = growth
        self.planned = self.longest = 1
        self.told = 0
        self.blocks = blocks

    def boundary(self, steps: int) -> float:
        """When iteration `steps` ends, seconds: the one expression for leaping, stepping and the token log."""
        return self.start + (steps * self.first + self.growth * (steps * (steps - 1) * 0.5))

    def steps_until(self, time: float, most: int) -> int:
        """The first iteration that ends at or after `time`, iteration `most` at most.

        The root of the quadratic says about which, the boundaries themselves which.
        """
        if time == inf:
            return most
        growth, passed = self.growth, time - self.start
        linear = self.first - 0.5 * growth
        steps = ceil(2.0 * passed / (linear + sqrt(linear * linear + 2.0 * growth * passed)))
        steps = most if steps > most else steps if steps > 1 else 1
        while steps > 1 and self.boundary(steps - 1) >= time:
            steps -= 1
        while steps < most and self.boundary(steps) < time:
            steps += 1
        return steps
