"""The engine, workloads, latency model, token log and metrics; knows no policy and no hardware by name."""

from simulator.latency import Batch, DecodeRun, LatencyModel, PiecewiseLinearLatency
from simulator.plan_check import InvalidPlan
from simulator.policy import (
    ALL,
    DECODE_ALL,
    NONE,
    EngineLimits,
    OraclePolicy,
    PolicyEvent,
    ReplicaView,
    SchedulerPolicy,
    StepPlan,
)
from simulator.request import Request, RequestState
from simulator.simulation import OversizeRequest, simulate
from simulator.token_log import EventKind, Status, TokenLog, TokenTimes

__all__ = [
    "ALL",
    "DECODE_ALL",
    "NONE",
    "Batch",
    "DecodeRun",
    "EngineLimits",
    "EventKind",
    "InvalidPlan",
    "LatencyModel",
    "OraclePolicy",
    "OversizeRequest",
    "PiecewiseLinearLatency",
    "PolicyEvent",
    "ReplicaView",
    "Request",
    "RequestState",
    "SchedulerPolicy",
    "Status",
    "StepPlan",
    "TokenLog",
    "TokenTimes",
    "simulate",
]
