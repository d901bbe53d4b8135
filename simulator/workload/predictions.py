"""Predicted output lengths with an error of a stated size."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import numpy as np

from simulator.random_streams import uniforms
from simulator.workload.workload import Floats, Workload

STREAM = "predicted output length"
"""Name of the random stream from which every error comes."""


def with_predictions(workload: Workload, sigma: float, seed: int = 0) -> Workload:
    """The same requests with a predicted output length each: the true one times a lognormal error of mean 1.

    predicted = output length · exp(sigma·z − sigma²/2) with z standard normal, a function of (seed, request id)
    alone, so that the errors of two sigmas are the same ones scaled. sigma 0: no error. Not rounded, and it may
    be below 1 token.

    Raises ValueError for a sigma that is negative or not finite.
    """
    if not (isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma of the prediction error must be finite and ≥ 0, not {sigma}")
    from scipy.special import ndtri

    z: Floats = ndtri(uniforms(seed, STREAM, len(workload)))
    error: Floats = np.exp(sigma * z - 0.5 * sigma * sigma)
    origin = {**workload.origin, "prediction_sigma": sigma, "prediction_seed": seed}
    return replace(workload, predicted_output_length=error * workload.output_length, origin=origin)
