"""Names of profiles from the file names of the tables that the shipped ones are fitted to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_STEM = re.compile(
    r"(?P<splitwise>splitwise_)?(?P<device>[a-z0-9-]+?)(?P<capped>-pcap)?_(?P<model>[a-z0-9.-]+)_tp(?P<tp>\d+)"
    r"(?:_(?P<variant>[a-z0-9]+))?_train"
)


class TableName(NamedTuple):
    """What the name of a table's file says."""

    device: str
    model: str
    tp: int
    variant: str = ""

    @property
    def profile(self) -> str:
        """Name of the profile fitted to it."""
        return f"{self.device}/{self.model}/tp{self.tp}" + (f"-{self.variant}" if self.variant else "")


def table_name(path: Path) -> TableName:
    """Device, model, TP degree and variant of a table by its file name; ValueError if they are not in it."""
    match = _STEM.fullmatch(path.stem)
    if match is None:
        raise ValueError(f"{path}: not named DEVICE_MODEL_tpN[_VARIANT]_train.csv")
    model = match["model"].replace("llama2-", "llama-2-")
    device = match["device"].removesuffix("gb") + "gb"
    parts = ("vllm-2023" if match["splitwise"] else "", "pcap" if match["capped"] else "", match["variant"] or "")
    return TableName(device, model, int(match["tp"]), "-".join(part for part in parts if part))


def table_names(paths: Iterable[Path]) -> dict[Path, TableName]:
    """Names of tables that lie together, sorted by file: a variant is named only where something else is plain.

    Tables of an engine of another year (`vllm-2023`) keep their variant in any case.
    """
    names = {path: table_name(path) for path in sorted(paths)}
    plain = {name for name in names.values() if not name.variant}
    return {path: _shortest(name, plain) for path, name in names.items()}


def _shortest(name: TableName, plain: set[TableName]) -> TableName:
    short = name._replace(variant="")
    return name if short in plain or name.variant.startswith("vllm-2023") else short
