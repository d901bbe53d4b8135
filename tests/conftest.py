"""Fixtures that every test may use, and a check of every run that any of them makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from simulator import TokenLog
from simulator.recorder import Recorder
from tests.support import check_littles_law

# the same examples of the same code; `make explore` draws new ones, and more
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", max_examples=1000, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data that may lie beside the checkout."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the development data in ../shared")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _littles_law_in_every_run() -> Iterator[None]:
    """Every log that `simulate` makes in this process obeys Little's law."""
    make_log = Recorder.log

    def checked(self: Recorder, *args: Any, **options: Any) -> TokenLog:
        log = make_log(self, *args, **options)
        check_littles_law(log)
        return log

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "log", checked)
        yield
