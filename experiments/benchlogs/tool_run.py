"""What a load tool recorded of one run, in the same words for every tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from simulator.metrics import SLO
from simulator.token_log import Floats, Status

Recorded = Literal["chunks", "ends", "end"]
"""Which times a tool records of a request: of every streamed chunk, of the first and last token, of the end alone."""

Chunks = Literal["spread", "as-is", "refuse"]
"""What to do where chunks are not tokens: spread the tokens evenly over them, count each as a token, or refuse."""

_TOOL_BOUNDS = ("ttft", "tpot", "e2e")


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One request as a tool recorded it; times are seconds.

    place: where in the file it is, for messages. submitted: on the tool's clock; None if it does not say.
    received: since its submission, not decreasing: of each chunk, of the first and last token, or of the end, as
    the run's `recorded` says; empty if nothing came. output_length: tokens of the answer, as the tool counts them;
    None if it does not. end: since its submission; NaN if not known or not ended. ttft, tpot, e2e: the tool's own
    figures, by which it judges the request; NaN where it has none.
    """

    place: str
    submitted: float | None
    received: Floats
    prompt_length: int
    output_length: int | None
    status: Status = Status.FINISHED
    reason: str = ""
    end: float = nan
    ttft: float = nan
    tpot: float = nan
    e2e: float = nan


@dataclass(frozen=True)
class ToolRun:
    """One run of a load tool: its requests in the order of the file, and what the tool says of the whole.

    tool: name of the reader. place: where in the file the run is. duration: the T by which the tool divides,
    seconds; NaN if it does not say. reported: the tool's own figures by our names with the suffix `_tool`, in our
    units. slo: the one that it was given, if it says and all its bounds are ours. notes: what a reader of the
    scores must know, with counts. meta: plain JSON to keep with the log.
    """

    tool: str
    place: str
    requests: Sequence[ToolRequest]
    recorded: Recorded = "chunks"
    duration: float = nan
    reported: Mapping[str, float] = field(default_factory=dict)
    slo: SLO | None = None
    notes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ToolFigures:
    """By what the tool judges each request, (n,) in seconds in the order of the token log, and its own T.

    Source: the load tools' documentation of `--goodput`. All of them call a request good if its TTFT, its TPOT and
    its end-to-end latency are at most the bounds; none bounds single gaps.
    """

    finished: npt.NDArray[np.bool_]
    ttft: Floats
    tpot: Floats
    e2e: Floats
    duration: float
    reported: Mapping[str, float]
    slo: SLO | None

    def goodput(self, slo: SLO) -> float:
        """Requests/s of `duration` that meet the SLO by the tool's own figures; NaN if it lacks one of them, or T."""
        bounds = {name: bound for name, bound in slo if bound is not None}
        known = {name for name in _TOOL_BOUNDS if not np.isnan(getattr(self, name)[self.finished]).all()}
        known = known if self.finished.any() else set(_TOOL_BOUNDS)
        if not set(bounds) <= known or not self.duration > 0:
            return nan
        good = self.finished.copy()
        for name, bound in bounds.items():
            good &= getattr(self, name) <= bound
        return float(good.sum()) / self.duration
