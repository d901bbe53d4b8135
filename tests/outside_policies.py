"""A distribution of somebody else's policies, for tests of what is found by entry points."""

from __future__ import annotations

from pathlib import Path

from policies.registry import GROUP


def install(site: Path, module: str, source: str, *entry_points: str) -> None:
    """Put into the folder `site` a module of that source, and a distribution with these entry points of policies."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(source, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entry_points, ""]), encoding="utf-8")
