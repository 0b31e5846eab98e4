"""``erpose-edge parity``: the first stage at which two artifacts, weights or dumps diverge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json, progress

if TYPE_CHECKING:
    from erpose_edge.validate.parity.compare import Comparison
    from erpose_edge.validate.parity.stages import Stage
    from erpose_edge.validate.parity.verdict import Verdict

_WORST_LAYERS = 3  # that are listed, unless all are asked for


def command(
    a: Annotated[
        str, typer.Argument(metavar="A", help="Artifact, weights or dump; taken for the truth.")
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="What is compared with it.")
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="Picture, folder or dump to take pictures from; repeatable."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Generated scenes, without --input.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated scenes.")] = 0,
    precision: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="OF_A OF_B", help="fp32 or int8, of sides that are weights."),
    ] = None,
    dump: Annotated[
        Path | None, typer.Option(help="Write what A computes to this .npz; without B.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="List every layer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Name the first stage at which two networks diverge.

    A and B are artifacts, weights or dumps. The verdict says whether preprocessing, precision or
    decoding is to blame. Exit code 0 at parity, 3 where a stage is beyond its budget.
    """
    from erpose_edge.deploy.parity_sources import check_request, open_captures
    from erpose_edge.validate.parity.compare import compare
    from erpose_edge.validate.parity.file import write_dump
    from erpose_edge.validate.parity.verdict import judge

    sources = [a] if b is None else [a, b]
    check_request(sources, dump)
    with progress("parity") as advance:
        captures = open_captures(
            sources, inputs or [], count=count, seed=seed, precisions=precision, advance=advance
        )
    if dump is not None:
        write_dump(dump, captures[0])
        found = captures[0]
        lines = f"{len(found.frames)} pictures, {len(found.side.layers)} layers"
        if as_json:
            emit_json({"dump": dump, "pictures": len(found.frames)})
        else:
            console.print(f"{dump}: {lines}", markup=False, soft_wrap=True)
        return
    comparison = compare(*captures)
    verdict = judge(comparison, *captures)
    if as_json:
        emit_json({"verdict": verdict.to_json(), **comparison.to_json()})
    else:
        _print(comparison, verdict, every_layer=layers)
    raise typer.Exit(comparison.exit_code)


def _print(comparison: Comparison, verdict: Verdict, *, every_layer: bool) -> None:
    from rich.table import Table

    console.print(str(verdict), markup=False, soft_wrap=True)
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        console.print(
            f"{name}: {side.source} ({side.precision}, {side.contract}, {side.engine})",
            markup=False,
            soft_wrap=True,
        )
    table = Table("stage", title=f"{comparison.pictures} pictures, budget of {comparison.pair}")
    for column in ("SNR dB", "largest error", "budget"):
        table.add_column(column, justify="right")
    table.add_column("")
    for stage in comparison.stages:
        table.add_row(stage.name, *_cells(stage), _MARKS[stage.ok])
    console.print(table)
    worst = sorted(comparison.layers, key=lambda layer: -layer.drop_db)[:_WORST_LAYERS]
    for layer in comparison.layers if every_layer else worst:
        console.print(
            f"layer {layer.name}: {layer.distance.snr_db:.1f} dB, {layer.drop_db:.1f} below "
            "what it reads",
            markup=False,
            soft_wrap=True,
        )
    for note in verdict.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


_MARKS = {True: "ok", False: "BEYOND", None: "-"}


def _cells(stage: Stage) -> tuple[str, str, str]:
    from erpose_edge.validate.parity.measures import EXACT_DB

    budget = stage.budget or {}
    if stage.distance is not None:
        snr = stage.distance.snr_db
        shown = "equal" if snr >= EXACT_DB else f"{snr:.1f}"
        return shown, f"{stage.distance.max_error:.3g}", f"{budget['snr_db']:g} dB"
    if stage.poses is not None:
        found = stage.poses
        lost = found.only_a + found.only_b
        return (
            f"OKS {found.oks_mean:.4f}",
            f"{found.px_max:.3g} px, {lost} lost",
            f"OKS {budget['oks_mean']:g}",
        )
    return "", "", ""
