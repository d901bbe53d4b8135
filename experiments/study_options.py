"""The options of `smoothserve compare` as changes to the fields of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiments.study import MAX_SEEDS, StudySpec
from experiments.study_files import default_study_fields, make_study, read_fields
from simulator.metrics import MIXES, SLO

_PLACES = {
    "profile": ("profile",),
    "requests": ("requests",),
    "window": ("window",),
    "max_concurrency": ("max_concurrency",),
    "oversize": ("oversize",),
    "trace_format": ("workload", "format"),
    "arrivals": ("workload", "arrivals"),
    "cv": ("workload", "cv"),
    "speed": ("user", "speed"),
    "alpha": ("user", "alpha"),
    "origin": ("user", "origin"),
    "f": ("user", "f"),
    "l0": ("user", "l0"),
    "abandonment": ("user", "abandonment"),
    "patience": ("user", "patience"),
    "impatience": ("impatience",),
    "prediction_sigma": ("prediction_sigma",),
    "delivery": ("delivery",),
    "warmup": ("warmup",),
    "precision": ("precision",),
    "max_seeds": ("max_seeds",),
    "expected_ttft": ("user", "qoe", "ttft"),
    "max_num_seqs": ("limits", "max_num_seqs"),
    "max_num_batched_tokens": ("limits", "max_num_batched_tokens"),
    "max_model_len": ("limits", "max_model_len"),
}
_BOUND_TO_WORKLOAD = ("rates", "requests", "window")


def study_from(path: Path | None, given: Mapping[str, Any]) -> StudySpec:
    """The study in the file at `path`, or the built-in one, with the options that were given put over it.

    given: option name → value. A trace or a length table replaces the workload, and with it rates, requests and
    window; a trace for the built-in study is replayed once, at its own rate. requests and window replace one
    another. Raises ValueError of one line, naming the file and field or the option, and the value.
    """
    fields = default_study_fields() if path is None else read_fields(path)
    source = "the built-in study" if path is None else str(path)
    if "trace" in given and "lengths" in given:
        raise ValueError("--trace and --lengths: a workload is either replayed or drawn, give one of them")
    if "trace" in given or "lengths" in given:
        _replace_workload(fields, given, built_in=path is None)
    for name, place in _PLACES.items():
        if name in given:
            _put(fields, place, _speed(given[name]) if name == "speed" else given[name])
    _bound_once(fields, given)
    _lists(fields, given)
    options = {".".join(place): _option(name) for name, place in _PLACES.items()}
    options |= {"rates": "--rate", "policies": "--policies", "seeds": "--seeds" if "seeds" in given else "--seed"}
    return make_study(fields, source, {place: option for place, option in options.items() if _names(option, given)})


def _replace_workload(fields: dict[str, Any], given: Mapping[str, Any], built_in: bool) -> None:
    was_synthetic = "lengths" in (fields.get("workload") or {})
    if "trace" in given:
        fields["workload"] = {"trace": given["trace"]}
        fields["name"] = Path(given["trace"]).stem
        if built_in:
            fields["seeds"] = 1
    elif was_synthetic:
        fields["workload"] = {**fields["workload"], "lengths": given["lengths"]}
        return
    else:
        fields["workload"] = {"lengths": given["lengths"]}
    for bound in _BOUND_TO_WORKLOAD:
        fields.pop(bound, None)


def _put(fields: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for part in place[:-1]:
        inner = fields.get(part)
        fields[part] = fields = dict(inner) if isinstance(inner, dict) else {}
    fields[place[-1]] = value


def _speed(text: str) -> float | str:
    """A number, or the name of a mix of readers."""
    if text in MIXES:
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--speed: {text!r} is neither a number nor one of {', '.join(MIXES)}") from None


def _bound_once(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    if "requests" in given and "window" not in given:
        fields.pop("window", None)
    if "window" in given and "requests" not in given and "trace" not in (fields.get("workload") or {}):
        fields.pop("requests", None)


def _lists(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    if "rate" in given:
        fields["rates"] = _split(given["rate"])
    if "policies" in given:
        fields["policies"] = _split([given["policies"]])
    if "slo" in given:
        fields["slo"] = SLO.parse(given["slo"])
    if "seeds" in given or "seed" in given:
        seeds = fields.get("seeds", 1)
        count = given.get("seeds", seeds if isinstance(seeds, int) else len(seeds))
        first = given.get("seed", 0)
        fields["seeds"] = list(range(first, first + count)) if 1 <= count <= MAX_SEEDS else count


def _split(texts: Iterable[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",")]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _names(option: str, given: Mapping[str, Any]) -> bool:
    return option.removeprefix("--").replace("-", "_") in given
