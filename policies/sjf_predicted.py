"""Shortest job first by a predicted output length."""

from __future__ import annotations

from policies.prefill_first import PrefillFirst
from simulator.request import RequestState


class SjfPredicted(PrefillFirst):
    """Like fcfs, but in order of the predicted output length, the shortest first.

    Admission is not preemptive: who runs, runs on; when blocks run out, the longest predicted go. Long requests can
    wait for ever under overload. Predictions come with the workload; `simulator.workload.with_predictions` makes
    them with an error of a stated size. Raises ValueError for a request without one.

    Source: SSJF (arXiv 2404.08509), whose predictor is a small model. Deviations: the predictor is a stated error
    instead, and takes no time; tokens generated since do not correct it.
    """

    name = "sjf_predicted"

    def rank(self, request: RequestState) -> float:
        """The predicted output length, tokens."""
        predicted = request.predicted_output_length
        if predicted != predicted:
            raise ValueError(
                f"{self.name}: request {request.id} has no predicted output length; "
                "give the workload some (--prediction-sigma, or simulator.workload.with_predictions)"
            )
        return predicted
