"""What a demonstration consists of: an answer made by hand, runs under load, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiments.demos.hand import HandPair
from experiments.demos.measures import Measure
from experiments.study import StudySpec
from experiments.study_files import make_study

Expected = Literal["improves", "worsens", "does not improve"]
"""What is claimed of the treated run against the other; each as `experiments.claims` defines it."""

PROFILE = "a100-80gb/llama-3-8b/tp1+vllm-2024"
"""One A100-80GB with an 8B model, the overhead of its engine included."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """A workload at one rate, run with and without the treatment, and what is claimed of it."""

    name: str = Field(description="of its study file")
    where: str = Field(description="the load, in a few words")
    fields: Mapping[str, Any] = Field(description="of its study; the second of its two policies is the treated one")
    labels: tuple[str, str] = Field(description="short names of the two policies, in that order")
    expected: Mapping[Measure, Expected]
    longest_patience: float | None = Field(
        default=None, gt=0, description="s: the gain of dropping is found for a patience up to this"
    )

    def study(self, seeds: int, window: float | None = None) -> StudySpec:
        """The study behind it with seeds 0 … seeds − 1; `window` seconds of arrivals if not its own."""
        fields = {"profile": PROFILE, **self.fields, "seeds": seeds}
        if window is not None:
            fields["window"] = window
        return make_study(fields, f"the demonstration's study {self.name}")


class Demonstration(_Frozen):
    """A way to fool a metric."""

    name: str
    title: str
    claim: str = Field(description="one sentence; it is true of the runs or it is not")
    hand: HandPair
    parts: tuple[Part, ...] = Field(min_length=1)
