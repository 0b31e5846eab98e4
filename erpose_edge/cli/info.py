"""``erpose-edge info``: what a network costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json


def command(
    cfg: Annotated[str, typer.Option(help="Config: a path, or the name of a bundled one.")] = "n",
    weights: Annotated[
        Path | None, typer.Option(help="Describe the network of a weights file instead.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show parameters, GFLOPs and stages of the deployed network."""
    from erpose_edge.config import config_from_mapping, load_config
    from erpose_edge.network.summary import summarize
    from erpose_edge.skeleton import skeleton_named

    document: dict[str, Any] = {}
    if weights is None:
        config = load_config(cfg, settings or [])
    else:
        from erpose_edge.network.checkpoint import read_header

        header = read_header(weights)
        config = config_from_mapping(header["config"], str(weights))
        document = {"weights": weights, "kind": header["kind"], "details": header["details"]}
    network = config.network
    skeleton = skeleton_named(config.skeleton)
    cost = summarize(network, len(skeleton), network.input_size)
    document |= {
        "scale": network.scale,
        "backbone": network.backbone,
        "activation": network.activation,
    } | cost
    document["skeleton"] = skeleton.name
    if as_json:
        emit_json(document)
    else:
        _print(document)


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    height, width = document["input_size"]
    console.print(
        f"ER-Pose-{document['scale']}, {document['activation']}, {document['skeleton']}, "
        f"input {height} x {width} (height x width), deployed graph"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("parameters", justify="right")
    table.add_column("GFLOPs", justify="right")
    for stage in document["stages"]:
        table.add_row(stage["name"], f"{stage['parameters']:,}", f"{stage['gflops']:.3f}")
    table.add_section()
    table.add_row("total", f"{document['parameters']:,}", f"{document['gflops']:.3f}")
    console.print(table)
