"""``erpose-edge bench``: time an artifact on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress

if TYPE_CHECKING:
    from erpose_edge.runtime.manifest import Manifest
    from erpose_edge.validate.latency import Latency


def command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `export` or `deploy` wrote.")],
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Measure so long, after the warm-up.")
    ] = 5.0,
    image: Annotated[
        Path | None, typer.Option(help="Picture to measure with; a 640x480 pattern by default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many the engine may use; its choice by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the measurement as JSON.")] = False,
) -> None:
    """Measure the latency of an artifact on this machine."""
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.images import read_image
    from erpose_edge.validate.latency import bench

    opened = read_artifact(artifact)
    frame = None if image is None else read_image(image)
    estimator = PoseEstimator(opened, threads=threads)
    with progress("bench") as advance:
        latency = bench(estimator, frame, seconds, advance)
    if json:
        emit_json(latency.to_json(opened.manifest))
    else:
        _print(latency, opened.manifest)
    if latency.unstable:
        messages.print(
            f"warning: unstable: turns of the measurement differ by "
            f"{latency.coefficient_of_variation:.1%} (limit 2.5%); is the machine busy?",
            markup=False,
            soft_wrap=True,
        )


def _print(latency: Latency, manifest: Manifest) -> None:
    from rich.table import Table

    from erpose_edge.validate.latency import STAGES

    table = Table("stage", title=f"{manifest.target} {manifest.precision}, {latency.engine}")
    for column in ("p50 ms", "p90 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for stage in STAGES:
        found = latency.stages[stage]
        cells = (f"{value:.2f}" for value in (found.p50, found.p90, found.p99))
        table.add_row(stage.replace("_", " "), *cells)
    console.print(table)
    console.print("\n".join(latency.notes()), markup=False, soft_wrap=True)
