"""What is changed, one thing at a time: coefficients within their errors, and assumptions that nobody measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments.study import StudySpec
from hardware_profiles import Profile, load_profile
from hardware_profiles.coefficients import Coefficients
from hardware_profiles.from_table import write_record
from simulator.latency import PiecewiseLinearLatency

ERROR = 0.1
"""By how much of itself a coefficient is moved, up and down."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TIMES = ("t0", "s_lo", "s_hi", "k", "kp", "a", "q0", "q1")


class Change(NamedTuple):
    """One thing that is different from the base: coefficients of the latency model, limits, or fields of the study."""

    factor: str
    setting: str
    latency: Callable[[PiecewiseLinearLatency], dict[str, float]] | None = None
    """New values of some coefficients."""
    limits: Mapping[str, Any] = _NOTHING
    fields: Mapping[str, Any] = _NOTHING

    @property
    def words(self) -> str:
        """Such as "t0 +10 %"."""
        return f"{self.factor} {self.setting}"

    @property
    def file_name(self) -> str:
        """The words as far as a profile's name may hold them."""
        spelled = self.words.replace("+", "plus ").replace("−", "minus ").replace("×", "times ")
        return "-".join(re.findall(r"[a-z0-9.]+", spelled.lower()))


def _scaled(*names: str) -> tuple[Change, ...]:
    factor = names[0] if len(names) == 1 else "all times"

    def by(share: float) -> Callable[[PiecewiseLinearLatency], dict[str, float]]:
        return lambda latency: {name: share * getattr(latency, name) for name in names}

    return (
        Change(factor, f"−{ERROR:.0%}".replace("%", " %"), by(1 - ERROR)),
        Change(factor, f"+{ERROR:.0%}".replace("%", " %"), by(1 + ERROR)),
    )


def _set(factor: str, setting: str, **values: float) -> Change:
    return Change(factor, setting, lambda _: values)


CHANGES: tuple[Change, ...] = (
    *(change for name in ("t0", "s_lo", "s_hi", "n_ridge", "k", "a") for change in _scaled(name)),
    Change("kp", "= k", lambda latency: {"kp": latency.k}),
    *_scaled(*_TIMES),
    *(_set("m", f"= {m:g}", m=m) for m in (0.6, 1.5, 2.5)),
    _set("overhead", "none", q0=0.0, q1=0.0),
    Change("overhead", "×2", lambda latency: {"q0": 2 * latency.q0, "q1": 2 * latency.q1}),
    *(Change("block size", str(size), limits={"block_size": size}) for size in (8, 32, 128)),
    *(Change("prediction sigma", f"{sigma:g}", fields={"prediction_sigma": sigma}) for sigma in (0.0, 1.0)),
)


def changed(study: StudySpec, change: Change, folder: Path) -> StudySpec:
    """The study with the change; a changed profile is written to `folder`, as NAME.yaml."""
    update: dict[str, Any] = {"name": f"{study.name}-{change.file_name}", **change.fields}
    if change.limits:
        update["limits"] = study.limits.model_copy(update=dict(change.limits))
    if change.latency is not None:
        path = folder / f"{change.file_name}.yaml"
        write_record(changed_profile(load_profile(study.profile), change), path)
        update["profile"] = str(path)
    return study.model_copy(update=update)


def changed_profile(profile: Profile, change: Change) -> Profile:
    """The profile with the change of its coefficients in it and behind its name."""
    latency = profile.coefficients.latency()
    values = change.latency(latency) if change.latency is not None else {}
    coefficients = Coefficients.of(latency.model_copy(update=values))
    name = f"{profile.name}+{change.file_name}"
    return Profile.model_validate({**profile.model_dump(), "coefficients": coefficients, "name": name})
