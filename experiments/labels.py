"""How policies are called where there is little room."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def short_names(policies: Iterable[str]) -> dict[str, str]:
    """Policies by their names alone where that tells them apart, or with the values of their settings, or in full."""
    distinct = list(dict.fromkeys(policies))
    levels: list[Callable[[str], str]] = [_name, _name_and_values]
    for level in levels:
        names = [level(policy) for policy in distinct]
        if len(set(names)) == len(names):
            return dict(zip(distinct, names, strict=True))
    return {policy: policy for policy in distinct}


def settings_note(policies: Iterable[str]) -> str:
    """What `short_names` leaves out, such as "chunked_prefill: token_budget=512"; empty if nothing."""
    notes = [f"{name}: {', '.join(p.split(':')[1:])}" for p, name in short_names(policies).items() if name != p]
    return "; ".join(notes)


def _name(policy: str) -> str:
    return policy.partition(":")[0]


def _name_and_values(policy: str) -> str:
    name, *settings = policy.split(":")
    return " ".join([name, *(setting.partition("=")[2] for setting in settings)])
