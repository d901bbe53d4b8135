"""A lesson run as a script, without a page: what its cells define."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from experiments.lessons.registry import lesson
from tests.lesson_cases import CASES


class Ran(NamedTuple):
    """What the cells of a lesson showed, in order, and the variables that they defined, by name."""

    outputs: tuple[Any, ...]
    variables: dict[str, Any]


@cache
def run_lesson(slug: str) -> Ran:
    """Every cell of the lesson, run once, as when somebody has just opened it."""
    app = import_module(f"experiments.lessons.{lesson(slug).module}").app
    outputs, variables = app.run()
    return Ran(tuple(outputs), dict(variables))


def answer_of(slug: str) -> Any:
    """The right answer of its exercise."""
    return run_lesson(slug).variables[CASES[slug].answer]
