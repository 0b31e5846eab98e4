"""``erpose-edge targets``: the deployment targets that this version knows."""

from __future__ import annotations

from typing import Annotated

import typer

from erpose_edge.cli.output import console, emit_json
from erpose_edge.config_file import dump_yaml

command = typer.Typer(
    name="targets", invoke_without_command=True, add_completion=False, rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.callback()
def targets(ctx: typer.Context, as_json: Json = False) -> None:
    """List the deployment targets, or show one."""
    if ctx.invoked_subcommand is not None:
        return
    from rich.table import Table

    from erpose_edge.deploy.profile import list_profiles

    profiles = list_profiles()
    if as_json:
        emit_json({"targets": [profile.model_dump(mode="json") for profile in profiles]})
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("target", "engine", "precisions", "status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("description", ratio=1)
    for profile in profiles:
        precisions = ", ".join(profile.precisions)
        table.add_row(profile.name, profile.engine, precisions, profile.status, profile.description)
    console.print(table)


@command.command()
def show(
    name: Annotated[str, typer.Argument(help="Target, or path of a profile.")],
    as_json: Json = False,
) -> None:
    """Show one target: its engine, budget and rules with their sources."""
    from erpose_edge.deploy.profile import load_profile

    profile = load_profile(name)
    if as_json:
        emit_json(profile.model_dump(mode="json"))
    else:
        console.print(dump_yaml(profile), end="", markup=False, soft_wrap=True)
