"""The command `smoothserve`: every error of the input is one line on stderr and exit code 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments import policies_cli, profiles_cli
from experiments.bench.command import bench
from experiments.capacity.command import capacity
from experiments.compare import compare
from experiments.demos.command import demo
from experiments.lessons.learn_cli import learn
from experiments.report_page.command import report
from experiments.score import score
from experiments.sweep.command import sweep
from experiments.timeline.command import timeline

_INTERRUPTED = 130

app = typer.Typer(
    name="smoothserve",
    help="Compare LLM serving schedulers, and the metrics that judge them, on a simulated GPU.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(compare)
app.command()(capacity)
app.command()(demo)
app.command()(score)
app.command()(sweep)
app.command()(timeline)
app.command()(bench)
app.command()(report)
app.command()(learn)
app.add_typer(policies_cli.app, name="policies")
app.add_typer(profiles_cli.app, name="profiles")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"smoothserve {version('smoothserve')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 2 for wrong input (one line on stderr), 130 interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    if sys.stdout is None:  # it was closed
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    try:
        code = app(arguments, prog_name="smoothserve", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except (ValueError, OSError) as error:
        return _say(_words(error), 2)
    except MemoryError:
        return _say("out of memory", 2)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error, of typer or of the click below it
            raise
        return _say(error.format_message().partition(", unable")[0], 2)
    if code == _INTERRUPTED:
        return _say("interrupted", _INTERRUPTED)
    return code if isinstance(code, int) else 0


def _words(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _say(message: str, code: int) -> int:
    print(f"smoothserve: {' '.join(message.split())}", file=sys.stderr)
    return code
