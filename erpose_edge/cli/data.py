"""``erpose-edge data``: look into a label file, or write people as a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, list_unusable, messages, progress
from erpose_edge.errors import DataError, RequestError

if TYPE_CHECKING:
    from erpose_edge.data.layout import FolderReport
    from erpose_edge.data.report import LabelReport
    from erpose_edge.metrics.image_labels import ImageLabels, Rejected

_SMALLEST_PX, _LARGEST_PX = 64, 2048

command = typer.Typer(
    name="data", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.callback()
def data() -> None:
    """Check label files, or write generated or crowded scenes."""


@command.command()
def check(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of a data set, or a COCO-format or CrowdPose label file."),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of a label file's images; a data set has its own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Draw labels of some images there.")] = None,
    pictures: Annotated[
        int, typer.Option(min=1, help="How many to draw of each label file, with --out.")
    ] = 12,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when anything cannot be used, or is missing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Report what a data set, or a label file and its images, hold.

    Known folders: COCO (annotations/person_keypoints_{train,val}2017.json, train2017, val2017),
    CrowdPose (json/crowdpose_{trainval,train,val,test}.json, images), and any *.json label files
    beside a folder called images.
    """
    if data.is_dir():
        if images is not None:
            raise RequestError(
                f"--images: expected none with the folder {data}, got {images}; name a label file "
                "to say where its images are"
            )
        faults = _check_folder(data, out, pictures, as_json=as_json)
    elif images is None:
        raise RequestError(
            f"--images: expected the folder of the images of {data}, got none; add it, or name "
            "the folder of a data set"
        )
    else:
        faults = _check_file(data, images, out, pictures, as_json=as_json)
    if strict and faults:
        raise DataError(f"{faults[0]}; faults in all: {len(faults)}, and --strict was given")


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
    from erpose_edge.data.export import export_data_set
    from erpose_edge.data.generated.people import GeneratedPeople
    from erpose_edge.skeleton import COCO_17

    if not all(_SMALLEST_PX <= side <= _LARGEST_PX for side in size):
        raise RequestError(
            f"--size: expected sides from {_SMALLEST_PX} to {_LARGEST_PX} pixels, "
            f"got {size[0]} {size[1]}"
        )
    scenes = GeneratedPeople(count, seed=seed, size=size)
    with progress("generate") as advance:
        written = export_data_set(scenes, out, COCO_17, advance)
    _print_written(out, written, {"seed": seed, "size": list(size)}, as_json=as_json)


@command.command()
def crowd(
    labels: Annotated[Path, typer.Option(help="COCO-format or CrowdPose label file.")],
    images: Annotated[Path, typer.Option(help="Folder of its images.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set; new or empty.")],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")],
    seed: Annotated[int, typer.Option(min=0, help="Different seeds have no scene in common.")] = 0,
    people: Annotated[
        tuple[int, int],
        typer.Option(metavar="LEAST MOST", help="People that are pasted into a scene."),
    ] = (4, 10),
    as_json: Json = False,
) -> None:
    """Paste people of a label file into crowded scenes, easy to hard; written as a data set."""
    from erpose_edge.data.crowds import MOST_PASTED, CrowdScenes
    from erpose_edge.data.export import export_data_set
    from erpose_edge.data.sources import Photographs
    from erpose_edge.metrics.crowd_index import SUBSETS, crowd_subset
    from erpose_edge.metrics.labels import read_labels

    if not 1 <= people[0] <= people[1] <= MOST_PASTED:
        raise RequestError(
            f"--people: expected a least and a most from 1 to {MOST_PASTED}, "
            f"got {people[0]} {people[1]}"
        )
    if not images.is_dir():
        raise DataError(f"images {images}: expected a folder, got none; check the path")
    found = read_labels(labels)
    list_unusable(found.rejected, "label entries")
    photographs = Photographs(found.images, images, found.rejected)
    scenes = CrowdScenes(photographs, found.skeleton, count, seed, people)
    with progress("crowd") as advance:
        written = export_data_set(scenes, out, found.skeleton, advance)
    found_in = Counter(crowd_subset(scene.crowd_index or 0.0) for scene in written)
    shares = {name: found_in[name] for name in SUBSETS}
    rejected = [str(entry) for entry in found.rejected]
    settings = {"seed": seed, "subsets": shares, "rejected": rejected}
    _print_written(out, written, settings, as_json=as_json)
    if not as_json:
        console.print(", ".join(f"{number} {name}" for name, number in shares.items()))


def _print_written(
    out: Path, written: list[ImageLabels], settings: dict[str, Any], *, as_json: bool
) -> None:
    from erpose_edge.data.export import IMAGES_FOLDER, LABELS_FILE

    document = {
        "labels": out / LABELS_FILE,
        "images_folder": out / IMAGES_FOLDER,
        "images": len(written),
        "people": sum(int((~labels.ignore).sum()) for labels in written),
        **settings,
    }
    if as_json:
        emit_json(document)
    else:
        console.print(
            f"{document['labels']}: {document['images']} images, {document['people']} people",
            markup=False,
            soft_wrap=True,
        )


def _check_file(
    labels: Path, images: Path, out: Path | None, pictures: int, *, as_json: bool
) -> list[str]:
    """Report on a label file; return its faults, a line each."""
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
    return [str(entry) for entry in (*report.rejected, *report.unreadable)]


def _check_folder(folder: Path, out: Path | None, pictures: int, *, as_json: bool) -> list[str]:
    """Report on the folder of a data set; return its faults, a line each."""
    from erpose_edge.data.layout import check_folder
    from erpose_edge.data.report import draw_labels

    with progress("check") as advance:
        report = check_folder(folder, lambda split, done, total: advance(done, total, split))
    drawn = []
    if out is not None:
        for split, labels in report.splits.items():
            drawn += draw_labels(labels, out / split, pictures)
    if as_json:
        emit_json({**report.to_json(), "pictures": drawn})
    else:
        _print_folder(report)
        if drawn:
            console.print(f"{len(drawn)} pictures: {out}", markup=False, soft_wrap=True)
    return report.faults()


def _print_folder(report: FolderReport) -> None:
    console.print(f"{report.folder}: {report.layout} layout", markup=False, soft_wrap=True)
    for split, labels in report.splits.items():
        console.print(f"\nsplit {split}", markup=False)
        _print(labels)
    console.print()
    for overlap in report.overlaps:
        console.print(
            f"{' and '.join(overlap.splits)}: {overlap.files} images in both by file name, "
            f"{overlap.ids} by id" + "".join(f"; {name}" for name in overlap.examples),
            markup=False,
            soft_wrap=True,
        )
    for reason in report.failed.values():
        messages.print(f"not used: {reason}", markup=False, soft_wrap=True)
    for part in report.missing:
        messages.print(f"missing: {part}", markup=False, soft_wrap=True)
    if not report.missing:
        console.print("nothing is missing")


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
    list_unusable(unusable, what)
