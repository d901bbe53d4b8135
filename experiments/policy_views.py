"""What a policy says of itself: summary, source, and parameters with defaults, units and ranges."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from policies.presets import PRESETS, policy_or_preset
from policies.registry import BUILT_IN, policy_names
from simulator.policy import SchedulerPolicy

_SOURCE = re.compile(r"Sources?: (.+?)(?=\. Deviation|\.? ?\n\n|\.?\Z)", re.DOTALL)
_SIGNS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}


class Parameter(BaseModel):
    """A parameter of a policy. default, as it would be written; range: what it may be, "" if anything."""

    model_config = ConfigDict(frozen=True)

    name: str
    default: str
    description: str
    range: str


class Description(BaseModel):
    """A policy in words. summary: the first sentence of its docstring; source: the paper or code that it follows."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["policy", "engine preset", "policy of another package"]
    summary: str
    source: str
    parameters: tuple[Parameter, ...]
    docstring: str


def described_names() -> list[str]:
    """Names of all policies, then of the engine presets."""
    return [*policy_names(), *PRESETS]


def describe(name: str) -> Description:
    """The policy or preset in words. Raises ValueError for an unknown name, with near matches."""
    found = policy_or_preset(name)
    kind: Literal["policy", "engine preset", "policy of another package"] = "policy of another package"
    if not issubclass(found, SchedulerPolicy):
        kind = "engine preset"
    elif name in BUILT_IN:
        kind = "policy"
    docstring = inspect.getdoc(found) or ""
    source = _SOURCE.search(docstring)
    return Description(
        name=name,
        kind=kind,
        summary=" ".join(docstring.partition("\n\n")[0].split()),
        source=" ".join(source.group(1).split()) if source else "",
        parameters=tuple(_parameter(name, field) for name, field in found.model_fields.items()),
        docstring=docstring,
    )


def _parameter(name: str, field: FieldInfo) -> Parameter:
    default = field.get_default(call_default_factory=False)
    written = "none" if default is None else str(default).lower() if isinstance(default, bool) else f"{default}"
    return Parameter(name=name, default=written, description=field.description or "", range=_range(field))


def _range(field: FieldInfo) -> str:
    choices = [_choices(kind) for kind in (field.annotation, *get_args(field.annotation))]
    limits = [f"{sign} {getattr(bound, key)}" for bound in field.metadata for sign, key in _sign(bound)]
    return next(filter(None, choices), "") or ", ".join(limits)


def _choices(kind: Any) -> str:
    if kind is bool:
        return "true or false"
    return " or ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else ""


def _sign(bound: object) -> list[tuple[str, str]]:
    return [sign for kind, sign in _SIGNS.items() if isinstance(bound, kind)]
