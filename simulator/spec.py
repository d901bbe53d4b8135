"""Objects from one line of text, as options and study files name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def from_spec(what: str, spec: str, find: Callable[[str], type[Model]]) -> Model:
    """A new object from "name" or "name:parameter=value:…", for instance "chunked_prefill:token_budget=512".

    `find` gives the class of a name or raises. Raises ValueError naming the parameter and the value that it does
    not take; `what` is what messages call the thing.
    """
    name, *settings = spec.split(":")
    model = find(name)
    parameters: dict[str, str] = {}
    for setting in settings:
        parameter, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{what} {spec!r}: {setting!r} is not of the form parameter=value")
        if parameter not in model.model_fields:
            known = ", ".join(model.model_fields) or "none"
            raise ValueError(f"{what} {spec!r}: {name} has no parameter {parameter!r} (it has {known})")
        if parameter in parameters:
            raise ValueError(f"{what} {spec!r}: {parameter} is given twice")
        parameters[parameter] = value
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if not where:
            raise ValueError(f"{what} {spec!r}: {first['msg'].removeprefix('Value error, ')}") from error
        raise ValueError(f"{what} {spec!r}: {where}: {first['msg']}, not {first['input']!r}") from error
