"""`smoothserve policies`: list and explain scheduling policies and engine presets."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from experiments.policy_views import Description

app = typer.Typer(
    name="policies",
    help="List and explain scheduling policies and engine presets.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
_WIDTH = 110

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def list_policies(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the policies and engine presets: what each does, its parameters, and its source."""
    from experiments.policy_views import describe, described_names

    if ctx.invoked_subcommand is not None:
        return
    all_of_them = []
    for name in described_names():
        try:
            all_of_them.append(describe(name))
        except ValueError as error:  # somebody else's that is broken hides no other
            typer.echo(f"smoothserve: {error}", err=True)
    if as_json:
        _print_json([description.model_dump(mode="json", exclude={"docstring"}) for description in all_of_them])
        return
    for description in all_of_them:
        typer.echo("\n".join(_in_short(description)))
    typer.echo("\nParameters go behind the name: fcfs,chunked_prefill:token_budget=512.")
    typer.echo("`smoothserve policies show NAME` explains one.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Policy or preset.")], as_json: AsJson = False
) -> None:
    """Explain a policy: the rule, where it departs from its source, and its parameters."""
    from experiments.policy_views import describe

    description = describe(name)
    if as_json:
        _print_json(description.model_dump(mode="json"))
        return
    typer.echo(f"{description.name} ({description.kind})\n\n{description.docstring}\n")
    typer.echo("\n".join(_parameters(description)) or "It has no parameters.")


def _in_short(description: Description) -> list[str]:
    kind = f" ({description.kind})" if description.kind != "policy" else ""
    lines = [f"{description.name}{kind}: {description.summary}", *_parameters(description)]
    if description.source:
        lines += wrap(f"source: {description.source}", _WIDTH, initial_indent="    ", subsequent_indent="        ")
    return lines


def _parameters(description: Description) -> list[str]:
    return [
        f"    {parameter.name}={parameter.default}  {', '.join(filter(None, (parameter.description, parameter.range)))}"
        for parameter in description.parameters
    ]


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
