"""What users expect, told to the scheduler: promises, reading speeds and expected times to the first token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.workload import Floats, Workload

if TYPE_CHECKING:
    from simulator.metrics.slo import SLO


def with_expectations(
    workload: Workload,
    *,
    speed: Floats | float = np.nan,
    expected_ttft: Floats | float = np.nan,
    slo: SLO | None = None,
) -> Workload:
    """The same requests, each user who has said nothing expecting this; what a class or a request has of its own stays.

    speed: tokens/s; expected_ttft: seconds; common or (n,), NaN leaves it unsaid. slo: of the classes without one.
    Raises ValueError for a speed or an expected TTFT that is not positive.
    """
    return replace(
        workload,
        speed=np.where(np.isnan(workload.speed), speed, workload.speed),
        expected_ttft=np.where(np.isnan(workload.expected_ttft), expected_ttft, workload.expected_ttft),
        class_slos=tuple(slo if own is None else own for own in workload.class_slos),
    )
