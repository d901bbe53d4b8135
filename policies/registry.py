"""Policies by name: ours from the table below, anybody else's from the entry-point group `smoothserve.policies`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from simulator.policy import SchedulerPolicy
from simulator.unknown_name import unknown_name

GROUP = "smoothserve.policies"

BUILT_IN = {
    "fcfs": "policies.fcfs:Fcfs",
    "chunked_prefill": "policies.chunked_prefill:ChunkedPrefill",
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
    name, *settings = spec.split(":")
    policy = policy_class(name)
    parameters: dict[str, str] = {}
    for setting in settings:
        parameter, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"policy {spec!r}: {setting!r} is not of the form parameter=value")
        if parameter not in policy.model_fields:
            known = ", ".join(policy.model_fields) or "none"
            raise ValueError(f"policy {spec!r}: {name} has no parameter {parameter!r} (it has {known})")
        if parameter in parameters:
            raise ValueError(f"policy {spec!r}: {parameter} is given twice")
        parameters[parameter] = value
    try:
        return policy.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"policy {spec!r}: {where}: {first['msg']}, not {first['input']!r}") from error
