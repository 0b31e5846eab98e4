"""``erpose-edge data``: look into a label file, or write generated people as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress
from erpose_edge.errors import DataError, RequestError

if TYPE_CHECKING:
    from erpose_edge.data.report import LabelReport
    from erpose_edge.metrics.image_labels import Rejected

_SHOWN = 10  # entries that are listed on a screen; --json lists all
_SMALLEST_PX, _LARGEST_PX = 64, 2048

command = typer.Typer(
    name="data", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.callback()
def data() -> None:
    """Check a label file, or write generated people as a data set."""


@command.command()
def check(
    labels: Annotated[Path, typer.Argument(help="COCO-format or CrowdPose label file.")],
    images: Annotated[Path, typer.Option(help="Folder of its images.")],
    out: Annotated[Path | None, typer.Option(help="Draw labels of some images there.")] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many to draw, with --out.")] = 12,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when any label entry or image cannot be used.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Report what a label file and its images hold."""
    from erpose_edge.data.report import check_labels, draw_labels

    with progress("check") as advance:
        report = check_labels(labels, images, advance)
    drawn = [] if out is None else draw_labels(report, out, pictures)
    if as_json:
        emit_json({**report.to_json(), "pictures": drawn})
    else:
        _print(report)
        if drawn:
            console.print(f"{len(drawn)} pictures: {out}", markup=False, soft_wrap=True)
    unusable = [*report.rejected, *report.unreadable]
    if strict and unusable:
        raise DataError(f"{unusable[0]}; {len(unusable)} unusable in all, and --strict was given")


@command.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder of the data set; new or empty.")],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")],
    seed: Annotated[int, typer.Option(min=0, help="Different seeds have no scene in common.")] = 0,
    size: Annotated[
        tuple[int, int], typer.Option(metavar="HEIGHT WIDTH", help="Of the pictures, in pixels.")
    ] = (480, 640),
    as_json: Json = False,
) -> None:
    """Write generated people as PNG and COCO labels."""
    from erpose_edge.data.export_generated import IMAGES_FOLDER, LABELS_FILE, export_generated
    from erpose_edge.data.generated.people import GeneratedPeople

    if not all(_SMALLEST_PX <= side <= _LARGEST_PX for side in size):
        raise RequestError(
            f"--size: expected sides from {_SMALLEST_PX} to {_LARGEST_PX} pixels, "
            f"got {size[0]} {size[1]}"
        )
    with progress("generate") as advance:
        written = export_generated(GeneratedPeople(count, seed=seed, size=size), out, advance)
    document = {
        "labels": out / LABELS_FILE,
        "images_folder": out / IMAGES_FOLDER,
        "images": len(written),
        "people": sum(int((~labels.ignore).sum()) for labels in written),
        "seed": seed,
        "size": list(size),
    }
    if as_json:
        emit_json(document)
    else:
        console.print(
            f"{document['labels']}: {document['images']} images, {document['people']} people",
            markup=False,
            soft_wrap=True,
        )


def _print(report: LabelReport) -> None:
    from rich.table import Table

    found = report.to_json()
    sizes = ", ".join(f"{n} of {size}" for size, n in list(found["image_sizes"].items())[:3])
    people = ", ".join(f"{share} {px:g} px" for share, px in found["person_sizes_px"].items())
    lines = (
        f"{found['labels']}, {found['skeleton']}",
        f"images: {found['images']}, {found['images_without_people']} without people; "
        f"width x height: {sizes}{', ...' if len(found['image_sizes']) > 3 else ''}",
        f"people: {found['people']}, and {found['ignored']} ignored; "
        f"square root of area: {people or 'nobody'}",
        f"labelled keypoints outside their picture: {found['keypoints_outside']}",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    table = Table("keypoint", box=None, pad_edge=False)
    for heading in ("visible", "hidden", "unlabelled"):
        table.add_column(heading, justify="right")
    for name, count in report.keypoint_counts().items():
        cells = (str(n) for n in (count.visible, count.hidden, count.unlabelled))
        table.add_row(name.replace("_", " "), *cells)
    console.print(table)
    _list("label entries", report.rejected)
    _list("images", report.unreadable)


def _list(what: str, unusable: list[Rejected]) -> None:
    console.print(f"{what} that cannot be used: {len(unusable)}", markup=False)
    for entry in unusable[:_SHOWN]:
        messages.print(f"not used: {entry}", markup=False, soft_wrap=True)
    if len(unusable) > _SHOWN:
        messages.print(f"not used: {len(unusable) - _SHOWN} more {what}; --json lists all")
