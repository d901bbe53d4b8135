"""Metrics of a run: pure functions from a token log to per-request columns and to one row of figures."""

from simulator.metrics.andes_qoe import QoE
from simulator.metrics.bound import best_benefits, share_of_bound
from simulator.metrics.by_class import class_values
from simulator.metrics.fluidity import fluid_token_rate
from simulator.metrics.per_request import per_request
from simulator.metrics.reader_mix import MIXES, reading_speeds
from simulator.metrics.slo import SLO
from simulator.metrics.slo_presets import PRESETS
from simulator.metrics.summary import summarize, summary_values
from simulator.metrics.user import User

__all__ = [
    "MIXES",
    "PRESETS",
    "SLO",
    "QoE",
    "User",
    "best_benefits",
    "class_values",
    "fluid_token_rate",
    "per_request",
    "reading_speeds",
    "share_of_bound",
    "summarize",
    "summary_values",
]
