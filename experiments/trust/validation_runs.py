"""Measured batches run again on the engine: a backlog of equal requests under fcfs, as the benchmarks sent it."""

from __future__ import annotations

from datetime import date

import numpy as np

from hardware_profiles import Profile, load_profile, profile_names
from hardware_profiles.datasheets import load_device, load_model
from hardware_profiles.loader import record_names
from hardware_profiles.roofline import estimate_profile
from policies import make_policy
from simulator import EngineLimits, TokenLog, simulate
from simulator.workload import Workload

_BATCHED_TOKENS = EngineLimits().max_num_batched_tokens


def backlog(profile: Profile, batch: int, prompt: int, output: int, *, at_once: bool = False) -> TokenLog:
    """The log of `batch` requests of `prompt` and `output` tokens that are all there at 0.

    at_once: whether all prompts are prefilled in one iteration, however many tokens that is; otherwise in
    iterations of at most 8192, vLLM's default.
    """
    tokens = max(_BATCHED_TOKENS, batch * prompt) if at_once else _BATCHED_TOKENS
    workload = Workload("backlog", np.zeros(batch), np.full(batch, prompt), np.full(batch, output))
    return simulate(workload, make_policy("fcfs"), profile, limits=EngineLimits(max_num_batched_tokens=tokens))


def end_to_end(profile: Profile, batch: int, prompt: int, output: int) -> float:
    """Seconds until the last token of a batch."""
    return float(backlog(profile, batch, prompt, output).end.max())


def first_and_second_token(profile: Profile, batch: int, prompt: int) -> tuple[float, float]:
    """Seconds until every request of a batch has its first token, and from there to its second."""
    log = backlog(profile, batch, prompt, 2, at_once=True)
    times = log.token_times().times.reshape(batch, 2)
    return float(times[:, 0].max()), float((times[:, 1] - times[:, 0]).max())


def shipped_profile(device: str, model: str, tp: int) -> Profile | None:
    """The plain profile of these, if one ships that rests on measurements."""
    name = f"{device}/{model}/tp{tp}"
    profile = load_profile(name) if name in profile_names() else None
    return profile if profile is not None and profile.kind != "estimated" else None


def estimated_profile(device: str, model: str, tp: int) -> Profile | None:
    """The profile estimated from data sheets, if they are there and the model fits."""
    if device not in record_names("devices") or model not in record_names("models"):
        return None
    try:
        return estimate_profile(load_device(device), load_model(model), tp, date.today())
    except ValueError:
        return None
