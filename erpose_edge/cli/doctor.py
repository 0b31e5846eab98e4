"""``erpose-edge doctor``: what this machine is, what it can serve, and what mends the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erpose_edge.cli.output import console, emit_json
from erpose_edge.errors import EXIT_PASS


def command(
    root: Annotated[
        Path, typer.Option("--root", help="Folder with the file system of a board to look at.")
    ] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what this machine is, and which targets it can serve.

    Whatever is missing comes with the command that mends it.
    """
    from erpose_edge.deploy.doctor import examine

    machine, diagnosis = examine(root)
    if as_json:
        emit_json({"machine": machine.to_json(), **diagnosis.to_json()})
    else:
        from erpose_edge.machine.report import page

        for heading, rows in page(machine, diagnosis).items():
            _show(heading, rows)
    if diagnosis.exit_code != EXIT_PASS:
        raise typer.Exit(diagnosis.exit_code)


def _show(heading: str, rows: list[tuple[str, str]]) -> None:
    """Print rows in columns; a command in one line however narrow the terminal, to be copied."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(heading, style="bold"))
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        if not label:
            console.print(Text(f"  {'':<{width}}  {text}"), soft_wrap=True)
            continue
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=width + 2)
        table.add_column(overflow="fold")
        table.add_row(Text(f"  {label}"), Text(text))
        console.print(table)
