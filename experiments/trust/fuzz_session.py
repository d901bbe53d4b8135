"""The fuzzing of one target, in a process of its own: a crash ends that alone, and leaves the input it came from."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from experiments.trust.fuzz_edits import damaged, draw_edits

_PACKAGES = ["simulator", "policies", "hardware_profiles", "experiments"]
_MOST_KEPT = 50
"""Failing inputs of one target that are kept."""
_LARGEST = 1 << 20
"""Bytes of the largest input."""
_IN_MEMORY = Path("/dev/shm")
_COUNTED = {"result": "results", "refused": "refused"}


class Session:
    """Inputs of one target, tried one by one; `report` has the counts, `report`.last the input that is being tried."""

    def __init__(self, name: str, inputs: int, out: Path, report: Path, folder: Path) -> None:
        from experiments.trust.fuzz_targets import targets

        self.target = targets()[name]
        self.target.ready(folder)
        self._name, self._inputs, self._out, self._folder, self._report = name, inputs, out, folder, report
        self._counts = Counter[str]()

    def try_one(self, data: bytes) -> bool:
        """Try one input; whether it was the last."""
        from experiments.trust.fuzz_targets import Unclear, outcome

        last_input(self._report).write_bytes(data)
        try:
            verdict: str = outcome(self.target, self._folder, data)
        except Unclear as error:
            keep(self._out, self._name, data, str(error))
            verdict = "failure"
        self._counts.update(("inputs", _COUNTED.get(verdict, "failures")))
        done = self._counts["inputs"] >= self._inputs
        if done or self._counts["inputs"] % 100 == 0:
            self._report.write_text(json.dumps(self._counts))
        return done


def scratch() -> TemporaryDirectory[str]:
    """A temporary folder, in memory where there is one: an input is written before it is read."""
    return TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)


def last_input(report: Path) -> Path:
    """Where the input is that is being tried."""
    return report.with_suffix(".last")


def keep(out: Path, target: str, data: bytes, why: str) -> None:
    """Write a failing input, and beside it what came instead of a clear error."""
    folder = out / target.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.txt"))) < _MOST_KEPT:
        name = hashlib.sha256(data).hexdigest()[:16]
        (folder / name).write_bytes(data)
        (folder / f"{name}.txt").write_text(ascii(why) + "\n", encoding="ascii")


def damage(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Damaged inputs without end: of the seeds, and now and then of what damage made of them before."""
    random, earlier = Random(seed), list(seeds)
    while True:
        base = random.choice(earlier if random.random() < 0.3 else seeds)
        data = damaged(base, draw_edits(random))[:_LARGEST]
        if len(data) < 10_000 and random.random() < 0.01:
            earlier[len(seeds) :] = [*earlier[len(seeds) :][-30:], data]
        yield data


def fuzz_target(name: str, inputs: int, seed: int, out: Path, report: Path, guided: bool) -> None:
    """Try so many inputs. Guided by atheris, the process ends here."""
    with scratch() as folder:
        if guided:
            _guided(name, inputs, seed, out, report, Path(folder))
        else:
            session = Session(name, inputs, out, report, Path(folder))
            any(map(session.try_one, damage(session.target.seeds, seed)))


def _guided(name: str, inputs: int, seed: int, out: Path, report: Path, folder: Path) -> None:
    """Damage by libFuzzer, which keeps what reaches new code, and by our edits, half of the time each."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=_PACKAGES):
        session = Session(name, inputs, out, report, folder)

    def mutate(data: bytes, max_size: int, draw: int) -> bytes:
        random = Random(draw)
        if random.random() < 0.5:
            return damaged(data, draw_edits(random))[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    def try_one(data: bytes) -> None:
        if session.try_one(data):
            os._exit(0)

    corpus = folder / "corpus"
    corpus.mkdir()
    for i, sound in enumerate(session.target.seeds):
        (corpus / str(i)).write_bytes(sound)
    options = (f"-seed={seed + 1}", f"-max_len={_LARGEST}", "-rss_limit_mb=8192", "-timeout=120")
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], try_one, custom_mutator=mutate)
    atheris.Fuzz()
