"""What a study prints: a table and what it says, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import isinf, isnan
from pathlib import Path
from typing import Any

from experiments.aggregate import Row, json_row
from experiments.labels import settings_note
from experiments.numbers import number
from experiments.precision import precision_note
from experiments.study import MixedWorkload, StudySpec, SyntheticWorkload, TraceWorkload
from experiments.table import class_table, result_table
from experiments.verdict import scores, verdict
from hardware_profiles import load_profile

_WIDTH_OF_A_PIPE = 120
_NEARLY_HALF = 0.49


def print_json(study: StudySpec, table: Sequence[Row]) -> None:
    """One object on stdout: {"study": …, "results": [row, …]}, a row per policy and rate."""
    spec = _without_infinities(study.model_dump(mode="json"))
    print(json.dumps({"study": spec, "results": [json_row(row) for row in table]}, indent=2, allow_nan=False))


def print_report(study: StudySpec, table: Sequence[Row], out: Path) -> None:
    """The table on stdout, with what was run above it, and what it says and where the files are below it."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    console = Console(width=width, highlight=False, markup=False)
    console.print(f"{headline(study)}\n")
    console.print(result_table(table, console.width))
    if (classes := class_table(table, console.width)) is not None:
        console.print("\nBy class of requests\n")
        console.print(classes)
    console.print(f"\n{verdict(table)}")
    for note in notes(study, table):
        console.print(note, style="dim")
    console.print(f"Written to {out}: summary.csv, figures/ and more.", soft_wrap=True)


def notes(study: StudySpec, table: Sequence[Row]) -> list[str]:
    """What to know about the table: preemptions, warm-up and precision where there are any, and what it is about."""
    found = [_preemptions(table), warmup_note(study, table), precision_note(study, table)]
    return [*filter(None, found), _legend(study, table)]


def headline(study: StudySpec) -> str:
    """What was run, in a line: workload, hardware, settings of policies, SLO."""
    what = _requests(study.workload)
    parts = [what, study.profile, settings_note(study.policies), f"SLO {study.slo.spell()} ms" if study.slo else ""]
    return f"{study.name}: " + ", ".join(filter(None, parts))


def _requests(load: TraceWorkload | SyntheticWorkload | MixedWorkload) -> str:
    if isinstance(load, TraceWorkload):
        return f"trace {Path(load.trace).name}"
    arrivals = f"{load.arrivals} arrivals" + (f" (cv {load.cv:g})" if load.cv else "")
    if isinstance(load, SyntheticWorkload):
        return f"{load.lengths} lengths, {arrivals}"
    return f"{', '.join(f'{each.name} ({each.lengths} lengths)' for each in load.classes)}, {arrivals}"


def _legend(study: StudySpec, table: Sequence[Row]) -> str:
    per = "arrival window" if scores(table)[-1].key.endswith("window") else "span of the run"
    window = _from_to([study.window] if study.window else [row.values["window"].mean for row in table])
    of_bound = "Of bound: smooth goodput over what it could be if each request had the GPU to itself."
    rates = f"Requests arrive for {window} s; goodputs are per second of the {per}."
    return " ".join(filter(None, [_replications(table), rates, of_bound, _overhead(study)]))


def _replications(table: Sequence[Row]) -> str:
    """Over how many seeds the intervals are, or that the seeds changed nothing; empty for single runs."""
    counts = _from_to([len(row.runs) for row in table])
    if counts == "1":
        return ""
    if all(isnan(value.mean) or value.half_width == 0 for row in table for value in row.values.values()):
        return f"Nothing here is random: all {counts} seeds ran the same. They are one sample, so there is no ±."
    return f"± is the half-width of the 95 % interval over {counts} seeds."


def warmup_note(study: StudySpec, table: Sequence[Row]) -> str:
    """Which requests were left out as warm-up, in a sentence or two; empty if none."""
    if not study.warmup:
        return ""
    runs = [run.values for row in table for run in row.runs]
    until = _from_to([run["warmup"] for run in runs])
    shares = [run["num_warmup_requests"] / (run["num_warmup_requests"] + run["num_requests"]) for run in runs]
    found = "by MSER-5 on a run of fcfs, " if study.warmup == "mser5" else ""
    note = f"Warm-up, {found}the same for every policy: requests of the first {until} s of a run are not judged, "
    note += f"{_from_to([100 * share for share in shares])} % of them."
    at_half = study.warmup == "mser5" and max(shares) > _NEARLY_HALF
    return f"{note} Half is the most that may go: such a run is too short, or does not settle." if at_half else note


def _from_to(values: Sequence[float]) -> str:
    """The range of the values, or the value that all have."""
    least, most = number(min(values)), number(max(values))
    return most if least == most else f"{least} to {most}"


def _preemptions(table: Sequence[Row]) -> str:
    """How often requests were preempted and how long a policy that looks for pressure found some, where it happened."""
    parts = []
    for row in table:
        rate, pressure = (row.values[name].mean for name in ("num_preemptions", "share_under_pressure"))
        if rate or pressure > 0:
            each = number(rate / row.values["num_requests"].mean)
            under = f", {number(100 * pressure)} % of iterations under pressure" if pressure > 0 else ""
            parts.append(f"{row.policy} at {number(row.rate)} req/s {each}{under}")
    return f"Preemptions a request: {'; '.join(parts)}." if parts else ""


def _overhead(study: StudySpec) -> str:
    """What the iterations include besides the GPU's work."""
    try:
        profile = load_profile(study.profile)
    except (ValueError, OSError):
        return f"The profile {study.profile} is not here, to say what an iteration includes."
    q0, q1 = (1e3 * coefficient.value for coefficient in (profile.coefficients.q0, profile.coefficients.q1))
    if q0 or q1:
        return f"An iteration includes {q0:.3g} ms + {q1:.3g} ms a request of engine overhead."
    if profile.overhead == "none":
        return "No engine overhead is added: the profile's iterations hold it."
    return f"No engine overhead is included: {study.profile}+{profile.overhead} adds it."


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinities(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_infinities(inner) for inner in value]
    return "inf" if isinstance(value, float) and isinf(value) else value
