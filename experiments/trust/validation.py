"""The validation page: simulated TTFT, TPOT and E2E against what was measured on real engines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from experiments.trust.markdown import table
from experiments.trust.validation_batches import Batches, by_pair, whole_batches
from experiments.trust.validation_case import Case, Quantity, Role, spread
from experiments.trust.validation_figure import save_figures
from experiments.trust.validation_iterations import whole_iterations
from experiments.trust.validation_misses import misses
from hardware_profiles import load_profile

TABLES = "SMOOTHSERVE_TABLES"
"""Environment variable that names the folder of calibration tables, which are others' and do not ship."""


def write_page(out: Path, *, quick: bool, jobs: int | None, quiet: bool, tables: Path | None = None) -> None:
    """Write VALIDATION.md, validation.png and validation_errors.png to the folder `out`.

    tables: the folder of calibration tables; that of the environment variable SMOOTHSERVE_TABLES if None. It takes
    seconds on one core, so quick, jobs and quiet change nothing. Raises ValueError without a folder, and for a
    table that is not one; OSError for a folder that is not there.
    """
    if tables is None and not os.environ.get(TABLES):
        raise ValueError(f"{TABLES} is not set: it names the folder of calibration tables to compare with")
    folder = tables or Path(os.environ[TABLES])
    batches = whole_batches(folder)
    cases = [*batches.cases, *whole_iterations(folder)]
    save_figures(cases, out)
    (out / "VALIDATION.md").write_text(page_text(batches, cases, date.today()), encoding="utf-8")


def page_text(batches: Batches, cases: Sequence[Case], today: date) -> str:
    """The page in Markdown; every number on it is computed from these cases."""
    parts = [
        _head(cases, today),
        "![Simulated against measured](validation.png)",
        _groups(cases),
        _how(),
        _profiles(batches),
        _iterations(cases),
        _misses(cases),
        _gaps(batches),
    ]
    return "\n\n".join(parts) + "\n"


def _head(cases: Sequence[Case], today: date) -> str:
    unseen = spread(_of(cases, Quantity.E2E, Role.UNSEEN))
    fitted = spread(_of(cases, Quantity.E2E, Role.FITTED))
    by_engine = ", ".join(
        f"{engine}: {_percent(spread(own).mean)}"
        for engine in sorted({case.engine for case in cases})
        if (own := [c for c in _of(cases, Quantity.E2E, Role.UNSEEN) if c.engine == engine])
    )
    return f"""# Simulated against measured

Made on {today.isoformat()} by `python -m experiments.trust validation`, with `{TABLES}` set to the folder of \
calibration tables (others' data, which do not ship; their sources are in `hardware_profiles/data/sources.yaml`). \
Every error below is computed from the runs; only the reasons for the misses were found by hand.

Whole batches on profiles of today with the engine's preset, E2E: off by {_percent(unseen.mean)} on average where \
nothing was fitted on them ({unseen.num_cases} batches; {by_engine}), by {_percent(fitted.mean)} where the preset was \
({fitted.num_cases}). Nine in ten unseen ones are within {_percent(unseen.p90)}. The engine runs each batch: a backlog \
of equal requests under `fcfs`. Error is simulated / measured − 1, so negative is too fast."""


def _groups(cases: Sequence[Case]) -> str:
    head = (
        "latency",
        "what the simulation knew",
        "sample",
        "profiles",
        "cases",
        "bias",
        "mean error",
        "P90",
        "within 20 %",
        "worst",
    )
    rows = []
    for quantity in Quantity:
        for role in Role:
            own = _of(cases, quantity, role)
            if own:
                s = spread(own)
                sample = "in" if role.in_sample else "out"
                profiles = str(len({case.profile for case in own}))
                figures = (_signed(s.bias), _percent(s.mean), _percent(s.p90), _percent(s.within_20))
                rows.append((quantity, role.value, sample, profiles, str(s.num_cases), *figures, _named(s.worst)))
    return f"## In-sample and out-of-sample\n\n{table(head, rows)}"


def _how() -> str:
    return """- *Fitted on it*, E2E: the three coefficients of the engine's preset were fitted on these pairs of \
device and model, the profile's own were not. The form of the preset was chosen with the unseen pairs in sight.
- *Fitted on it*, TTFT and TPOT: all coefficients of the profile were fitted on the very iterations. What such a fit \
does on iterations it did not see is below.
- *No preset*: no coefficient was fitted, but that these profiles take none was decided on these batches.
- *Not seen*: other pairs of the same benchmark. Batches larger than the KV cache test preemption too.
- *Estimated*: from data sheets alone, with the engine's preset.
- *Of another engine*: iterations of vLLM in 2023 on profiles composed from operator times of later years."""


def _profiles(batches: Batches) -> str:
    head = (
        "profile",
        "engine",
        "what the simulation knew",
        "batches",
        "bias",
        "mean error",
        "at 128",
        "at 2048",
        "worst",
    )
    rows = []
    for (profile, engine, role), own in by_pair(batches.cases).items():
        s = spread(own)
        rows.append(
            (
                profile,
                engine,
                role.value,
                str(s.num_cases),
                _signed(s.bias),
                _percent(s.mean),
                *(_bias_at(own, length) for length in (128, 2048)),
                _worst(s.worst),
            )
        )
    return f"""## Whole batches: E2E

1, 16, 32 or 64 requests of 128 to 2048 prompt tokens, and as many output tokens. *At 128* and *at 2048*: the bias of \
the batches with so many. A100-40GB profiles are derived from those of the A100-80GB.

![Errors by profile and engine](validation_errors.png)

{table(head, rows)}"""


def _iterations(cases: Sequence[Case]) -> str:
    own = [case for case in cases if case.quantity is not Quantity.E2E]
    head = ("profile", "latency", "sample", "cases", "bias", "mean error", "cross-validated", "worst")
    rows = []
    for (profile, _, role), group in by_pair(own).items():
        for quantity in (Quantity.TTFT, Quantity.TPOT):
            part = [case for case in group if case.quantity is quantity]
            if part:
                s, sample = spread(part), "in" if role.in_sample else "out"
                unseen = _cross_validated(profile, quantity) if role.in_sample else "–"
                figures = (str(s.num_cases), _signed(s.bias), _percent(s.mean), unseen, _worst(s.worst))
                rows.append((profile, quantity, sample, *figures))
    return f"""## Whole iterations: TTFT and TPOT

Measured on vLLM of 2023: a prefill is the TTFT of a batch of prompts that are there at once, a decode the TPOT of a \
batch at a context of so many tokens. *Cross-validated*: the mean error on iterations that the fit did not see (five \
folds, as the profile says). The profiles of the second kind know nothing of these measurements.

{table(head, rows)}"""


def _cross_validated(profile: str, quantity: Quantity) -> str:
    errors = load_profile(profile).errors
    return f"{errors.by_kind['prefill' if quantity is Quantity.TTFT else 'decode']:.1f} %" if errors else "–"


def _misses(cases: Sequence[Case]) -> str:
    lines = [
        f"- **{found.miss.words}**: {_signed(found.bias)} on average over {found.num_cases} cases, "
        f"worst {_named(found.worst)}. {_sentence(found.miss.why)}."
        for found in misses(cases)
    ]
    return "## The misses\n\n" + "\n".join(lines)


def _gaps(batches: Batches) -> str:
    devices = ", ".join(sorted({row.device for row in batches.uncovered}))
    stopped = sorted({f"{row.device}/{row.model}/tp{row.tp}, {row.framework}" for row in batches.impossible})
    missing = len(batches.uncovered)
    return f"""## What this does not show

- TTFT and TPOT of an engine later than 2023: the benchmark of 2024 has the time of a whole batch alone, in which a \
long prefill and fast decodes can cancel out.
- Requests that arrive one by one: every batch here is there at 0, and no measurement has the queue, the latencies of \
single requests or their percentiles.
- Iterations that prefill and decode at once: none were measured for A100 and H100, so chunked prefill rests on sums \
of operator times and on m = 0 there ([how far that matters](SENSITIVITY.md)).
- {missing} batches of devices or models without data sheets here ({devices}; Mistral-7B) were not simulated.
- {len(batches.impossible)} batches were left out, since they were faster than the weights can be read once for each \
output token: requests stopped early ({"; ".join(stopped)}). Others of these pairs may have stopped early too.
- That the A100 of the benchmark has 40 GB is inferred from where its KV cache is full."""


def _of(cases: Sequence[Case], quantity: Quantity, role: Role) -> list[Case]:
    return [case for case in cases if case.quantity is quantity and case.role is role]


def _bias_at(cases: Sequence[Case], length: int) -> str:
    own = [case for case in cases if case.length == length]
    return _signed(spread(own).bias) if own else "–"


def _worst(case: Case) -> str:
    return f"{_signed(case.error)} at {case.words}"


def _named(case: Case) -> str:
    return f"{_worst(case)} ({case.profile}, {case.engine})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f} %".replace("-", "−")


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
