"""Metrics of a run: pure functions from a token log to per-request columns and to one row of figures."""

from simulator.metrics.per_request import per_request
from simulator.metrics.slo import SLO
from simulator.metrics.smooth_goodput import User
from simulator.metrics.summary import summarize, summary_values

__all__ = ["SLO", "User", "per_request", "summarize", "summary_values"]
