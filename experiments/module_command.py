"""Commands that are run as `python -m MODULE`, beside `smoothserve`: what is wrong is one line."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def run_module(app: typer.Typer, module: str) -> NoReturn:
    """Run the command of a module and exit: with 2, and one line, for a ValueError or an OSError."""
    try:
        sys.exit(app(prog_name=f"python -m {module}", standalone_mode=False))
    except (ValueError, OSError) as error:
        print(f"{module}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
