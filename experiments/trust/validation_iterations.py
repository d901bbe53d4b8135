"""Whole iterations of Splitwise, each as a batch of requests on the engine: TTFT of a prefill, TPOT of a decode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.trust.validation_case import Case, Quantity, Role
from experiments.trust.validation_runs import first_and_second_token, shipped_profile
from hardware_profiles import Profile, load_profile
from hardware_profiles.build import tables_in
from hardware_profiles.tables import read_table
from simulator import Batch

ENGINE = "vLLM 2023"
_MARK = "vllm-2023"


def whole_iterations(folder: Path) -> list[Case]:
    """Measured iterations against the profile fitted on them, and against the one that other measurements made.

    The latter is the plain profile of the same device, model and TP degree where there is one, with no overhead
    preset: none is for an engine of 2023.
    """
    cases: list[Case] = []
    for path, name in tables_in(folder).items():
        if not name.variant.startswith(_MARK):
            continue
        batches, latencies = read_table(path).batches(), read_table(path).latency.tolist()
        cases += _cases(load_profile(name.profile), Role.FITTED, batches, latencies)
        other = shipped_profile(name.device, name.model, name.tp)
        if other is not None and name.variant == _MARK:
            cases += _cases(other, Role.OTHER, batches, latencies)
    return cases


def _cases(profile: Profile, role: Role, batches: list[Batch], latencies: list[float]) -> Iterator[Case]:
    for batch, latency in zip(batches, latencies, strict=True):
        num, quantity = batch.num_requests, Quantity.TTFT if batch.prefill_tokens else Quantity.TPOT
        tokens = batch.prefill_tokens or batch.kv_tokens
        length = tokens // num
        if length * num != tokens or batch.prefill_context:
            raise ValueError(f"{profile.name}: {tokens} tokens of {num} requests are no batch of equal prompts")
        # the token that is fed counts in the context of a decode
        first, second = first_and_second_token(profile, num, length - (quantity is Quantity.TPOT))
        simulated = first if quantity is Quantity.TTFT else second
        yield Case(quantity, role, ENGINE, profile.name, num, length, latency, simulated)
