"""``erpose-edge targets``: the deployment targets that this version knows."""

from __future__ import annotations

from typing import Annotated

import typer

from erpose_edge.cli.output import console, emit_json

command = typer.Typer(
    name="targets", invoke_without_command=True, add_completion=False, rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.callback()
def targets(ctx: typer.Context, as_json: Json = False) -> None:
    """List the deployment targets, or explain one."""
    if ctx.invoked_subcommand is not None:
        return
    from rich.table import Table

    from erpose_edge.deploy.profile import list_profiles
    from erpose_edge.deploy.registry.explain import served

    profiles = list_profiles()
    if as_json:
        rows = [{**each.model_dump(mode="json"), "served": served(each)} for each in profiles]
        emit_json({"targets": rows})
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("target", "engine", "status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("description", ratio=1)
    for profile in profiles:
        status, how = profile.status, served(profile)
        status_text = f"{status}, {how}" if how == "best effort" else status
        table.add_row(profile.name, profile.engine, status_text, profile.description)
    console.print(table)


@command.command()
def show(
    name: Annotated[str, typer.Argument(help="Target, or path of a profile.")],
    as_json: Json = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the profile's file, to be changed and used.")
    ] = False,
) -> None:
    """Explain one target: precisions and outputs with the reasons, budget, facts and sources."""
    from erpose_edge.deploy.profile import load_profile
    from erpose_edge.deploy.registry import load_registry
    from erpose_edge.deploy.registry.explain import explain
    from erpose_edge.deploy.registry.text import explanation_lines
    from erpose_edge.resources import find_resource

    profile = load_profile(name)
    if as_yaml:
        text = find_resource("targets", name).read_text(encoding="utf-8")
        console.print(text, end="", markup=False, soft_wrap=True)
        return
    explanation = explain(profile, load_registry())
    if as_json:
        emit_json(explanation.to_json())
        return
    for line in explanation_lines(explanation):
        console.print(line, markup=False, soft_wrap=True)
