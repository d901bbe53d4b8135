"""The people of a study: what they expect, told to the scheduler and to the metrics alike."""

from __future__ import annotations

from experiments.study import StudySpec
from simulator.metrics import User
from simulator.metrics.per_request import SLOs
from simulator.metrics.selection import user_by_request
from simulator.workload import Workload, with_expectations, with_patience, with_predictions


def with_people(workload: Workload, study: StudySpec, seed: int) -> Workload:
    """The workload with the study's SLO, reading speeds, expected TTFTs, patience and predictions attached.

    What a class of requests has of its own stays.
    """
    workload = with_expectations(
        workload,
        speed=study.user.speeds(len(workload)),
        expected_ttft=study.user.qoe.expected_ttft(workload.prompt_length),
        slo=study.slo,
    )
    if study.impatience is not None:
        workload = with_patience(workload, study.impatience, seed)
    if study.prediction_sigma is not None:
        workload = with_predictions(workload, study.prediction_sigma, seed)
    return workload


def judges(workload: Workload, study: StudySpec) -> tuple[SLOs, User]:
    """What a run of `workload` is judged by: the same promises and expectations that its policy was told."""
    user = user_by_request(study.user, workload.speed, workload.expected_ttft)
    if len(set(workload.class_slos)) == 1:
        return workload.class_slos[0], user
    return dict(zip(workload.class_names, workload.class_slos, strict=True)), user
