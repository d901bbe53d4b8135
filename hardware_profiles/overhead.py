"""Engine overhead as named presets: what scheduler, sampler and detokeniser add to an iteration."""

from __future__ import annotations

from pydantic import Field

from hardware_profiles.coefficients import Frozen, Seconds, SecondsPerSequence


class OverheadErrors(Frozen):
    """Mean absolute percentage errors of the time of whole batches, percent, without and with the preset."""

    pairs: int = Field(ge=1)
    """Device–model pairs."""
    rows: int = Field(ge=1)
    without: float = Field(ge=0)
    with_overhead: float = Field(ge=0)


class Overhead(Frozen):
    """Seconds of CPU time in every iteration: q0 + q0_per_further_gpu·(TP − 1) + q1·q for q requests."""

    name: str
    q0: Seconds
    q0_per_further_gpu: Seconds
    """For each GPU beyond the first: workers to be told what to run and to be waited for."""
    q1: SecondsPerSequence
    source: str
    in_sample: OverheadErrors | None = None
    """On the pairs fitted to."""
    out_of_sample: OverheadErrors | None = None
    """On the other half of the pairs."""
    warnings: tuple[str, ...] = ()

    def q0_at(self, tp: int) -> float:
        """Overhead of an iteration on `tp` GPUs, seconds."""
        return self.q0.value + self.q0_per_further_gpu.value * (tp - 1)
