"""Policies by name: ours from the table below, anybody else's from the entry-point group `smoothserve.policies`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from simulator.policy import SchedulerPolicy
from simulator.spec import from_spec
from simulator.unknown_name import unknown_name

GROUP = "smoothserve.policies"

BUILT_IN = {
    "fcfs": "policies.fcfs:Fcfs",
    "chunked_prefill": "policies.chunked_prefill:ChunkedPrefill",
    "static_batching": "policies.static_batching:StaticBatching",
    "lcfs": "policies.lcfs:Lcfs",
    "edf": "policies.edf:Edf",
    "least_slack": "policies.least_slack:LeastSlack",
    "sjf_predicted": "policies.sjf_predicted:SjfPredicted",
    "srpt_oracle": "policies.srpt_oracle:SrptOracle",
    "fair_share": "policies.fair_share:FairShare",
    "drop_on_miss": "policies.drop_on_miss:DropOnMiss",
    "andes": "policies.andes:Andes",
    "slos_serve": "policies.slos_serve:SlosServe",
    "tempo": "policies.tempo:Tempo",
    "tokenflow": "policies.tokenflow:TokenFlow",
    "adaserve": "policies.adaserve:AdaServe",
}


class UnknownPolicy(ValueError):
    """There is no policy of that name."""


def _outside() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def policy_names() -> list[str]:
    """Names of all policies: ours, then those of other packages, each group in its order."""
    return [*BUILT_IN, *(name for name in sorted(_outside()) if name not in BUILT_IN)]


def policy_class(name: str) -> type[SchedulerPolicy]:
    """The policy registered as `name`; raises `UnknownPolicy` with near matches, or ValueError if it is none."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found = getattr(import_module(module), attribute)
    elif point := _outside().get(name):
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"policy {name!r}: {point.value} cannot be loaded: {error}") from error
    else:
        raise UnknownPolicy(unknown_name("policy", name, policy_names()))
    if not (isinstance(found, type) and issubclass(found, SchedulerPolicy)):
        raise ValueError(f"policy {name!r}: {found!r} is not a SchedulerPolicy")
    return found


def make_policy(spec: str) -> SchedulerPolicy:
    """A new policy from "name" or "name:parameter=value:…", for instance "chunked_prefill:token_budget=512".

    Raises ValueError naming the parameter and the value that it does not take.
    """
    return from_spec("policy", spec, policy_class)
