"""What is said of a name that nothing is registered under."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MANY = 20


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """One line: the name asked for, up to three that are close to it or contain it, and all there are.

    Where some are close and there are more than 20, only how many there are.
    """
    names = list(known)
    near = get_close_matches(name, names, n=3) or [other for other in names if name and name in other][:3]
    if near and len(names) > _MANY:
        return f"unknown {what} {name!r}; did you mean {' or '.join(near)}? (there are {len(names)})"
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {what} {name!r}{hint} (there are: {', '.join(names)})"
