"""YAML from outside: plain data of a size that fits its purpose, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_VALUES = 100_000
"""Most values of a document, each alias counted as what it stands for."""
MAX_DEPTH = 50
"""Deepest nesting of a document."""
MAX_TEXT = 1_000
"""Longest text, characters."""
_MAX_BITS = 1_024
"""Longest whole number: a longer one is no float."""
_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Refuses a key that is given twice, of which YAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        seen: set[str] = set()
        for key in (key for key in keys if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_TAG_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What PyYAML raises for a value that its tag does not fit, such as the date 2001-99-99."""


def parse_yaml(text: str, source: str, what: str = "YAML") -> Any:
    """The data of a YAML document: mappings, lists, texts, numbers, dates; nothing in it is executed.

    what: how messages call what it should be. Raises ValueError of one line that names `source`, and the line where
    it is known, for what is not YAML or beyond the bounds above.
    """
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{source}:{line}: not {what}: {printable(error.problem or 'damaged')}") from None
    except (yaml.YAMLError, RecursionError, *_TAG_ERRORS) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error).partition("\n")[0])
        raise ValueError(f"{source}: not {what}: {why}") from None
    if problem := _beyond_bounds(content):
        raise ValueError(f"{source}: {problem}")
    return content


def printable(text: str, width: int = 200) -> str:
    """The text as messages have it: on one line, nothing in it unprintable, cut to `width`."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= width else f"{text[: width - 1]}…"


def shown(value: object) -> str:
    """A value as messages quote it."""
    return printable(repr(value), 60)


def _beyond_bounds(content: Any) -> str | None:
    """Which bound the document exceeds. Aliases are followed, so a bomb of them is found after `MAX_VALUES` steps."""
    ahead = [(content, 1)]
    for _ in range(MAX_VALUES):
        if not ahead:
            return None
        value, depth = ahead.pop()
        if depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} deep"
        if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
            return f"a text of {len(value)} characters, the longest may have {MAX_TEXT}: {printable(str(value[:40]))}…"
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            return "a number of over 300 digits"
        ahead += [(part, depth + 1) for part in _parts(value)]
    return f"more than {MAX_VALUES} values, aliases counted as what they stand for"


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
