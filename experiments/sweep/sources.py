"""Which source files a run is made of, and a hash of what they say."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from simulator.policy import SchedulerPolicy

_OURS = frozenset({"simulator", "policies", "hardware_profiles", "experiments"})


def source_hash(modules: Iterable[str]) -> str:
    """Hash of the sources of `modules` and of all that they import, directly or not, from their own packages.

    Followed are imports of this project's packages and of the packages that `modules` are in: written in any place
    of a file, inside functions too. What other libraries hold does not count. Files are read once a process, as
    Python does: what is edited later does not run here either. Raises ValueError for a module without a file.
    """
    roots = set(modules)
    packages = _OURS | {module.partition(".")[0] for module in roots}
    found: set[str] = set()
    ahead = list(roots)
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += [name for name in _imports(module) if name.partition(".")[0] in packages]
    lines = [f"{module} {_digest(module)}" for module in sorted(found)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def policy_modules(policy: SchedulerPolicy) -> set[str]:
    """Modules of the policy, and of the policies that it holds."""
    held = [*vars(policy).values(), *(policy.__pydantic_private__ or {}).values()]
    inner = [value for value in held if isinstance(value, SchedulerPolicy)]
    return {type(policy).__module__}.union(*map(policy_modules, inner))


def read_source(module: str) -> bytes:
    """The bytes of the module's file. Raises ValueError if it has none."""
    file = _file(module)
    if file is None:
        raise ValueError(f"module {module} has no source file by which its version could be told")
    return file.read_bytes()


@cache
def _digest(module: str) -> str:
    return hashlib.sha256(read_source(module)).hexdigest()


@cache
def _imports(module: str) -> frozenset[str]:
    """Modules that the file imports, with the packages around them, as far as they are files."""
    file = _file(module)
    if file is None or file.suffix != ".py":
        return frozenset()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    named = set(_named(ast.parse(read_source(module)), package))
    around = {name.rsplit(".", i)[0] for name in {module, *named} for i in range(1, name.count(".") + 1)}
    return frozenset(name for name in named | around if _file(name) is not None)


def _named(tree: ast.Module, package: str) -> Iterator[str]:
    """What import statements name, and may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def _file(module: str) -> Path | None:
    top, *parts = module.split(".")
    spec = find_spec(top)
    for folder in (spec and spec.submodule_search_locations) or ():
        place = Path(folder, *parts)
        for file in (place / "__init__.py", Path(f"{place}.py")):
            if file.is_file():
                return file
    loaded = getattr(sys.modules.get(module), "__file__", None) or (spec and not parts and spec.origin)
    return Path(loaded) if loaded and Path(loaded).is_file() else None
