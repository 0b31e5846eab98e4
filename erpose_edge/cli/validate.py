"""``erpose-edge validate``: keypoint AP of weights or an artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import Advance, console, emit_json, list_unusable, progress
from erpose_edge.errors import DataError, RequestError

if TYPE_CHECKING:
    from erpose_edge.metrics.image_labels import Rejected
    from erpose_edge.skeleton import Skeleton
    from erpose_edge.validate.accuracy import Accuracy

_GENERATED_SIZE = (480, 640)
METRICS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar": "AR",
}
CROWD_METRICS = {  # of label sets whose images have a crowd index
    "ap_crowd_easy": "AP crowd easy",
    "ap_crowd_medium": "AP crowd medium",
    "ap_crowd_hard": "AP crowd hard",
}


def command(
    source: Annotated[
        str, typer.Argument(metavar="ARTIFACT_OR_WEIGHTS", help="Artifact folder or weights file.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="COCO-format or CrowdPose label file; generated people by default."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images of --data.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of weights that hold both: fp32 or int8.")
    ] = None,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="H W", help="Of weights, in pixels; their config's by default."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Generated scenes, without --data.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated scenes.")] = 0,
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Poses with a lower score do not count.")
    ] = 0.01,
    save_poses: Annotated[
        Path | None, typer.Option(help="Also write the poses as a COCO result file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Fail when any label entry or image cannot be used.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure keypoint AP of weights or an artifact."""
    from erpose_edge.deploy.default import open_estimator
    from erpose_edge.validate.accuracy import evaluate_estimator

    estimator = open_estimator(source, precision, checked_size(input_size))
    estimator.score_threshold = score_threshold
    skeleton = estimator.skeleton
    samples, rejected, described = evaluation_samples(data, images, count, seed, skeleton)
    list_unusable(rejected, "label entries")
    with progress("validate") as advance:
        result = evaluate_estimator(estimator, samples, skeleton, _with_rate(advance))
    list_unusable(result.rejected, "images")
    unusable = [*rejected, *result.rejected]
    if strict and unusable:
        raise DataError(f"{unusable[0]}; {len(unusable)} unusable in all, and --strict was given")
    if save_poses is not None:
        _write_poses(result, save_poses)
    document = result.to_json(rejected)
    document.update(
        source=source,
        data=described,
        skeleton=skeleton.name,
        input_size=list(estimator.contract.input_size),
    )
    if as_json:
        emit_json(document)
    else:
        _print_table(document)


def checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return ``size`` (height, width) if a network can have it.

    Raises:
        RequestError: A side is no multiple of 32, or out of range.
    """
    if size is not None and any(side % 32 or not 64 <= side <= 2048 for side in size):
        raise RequestError(
            f"--input-size: expected multiples of 32 from 64 to 2048, got {size[0]} {size[1]}"
        )
    return size


def evaluation_samples(
    data: Path | None, images: Path | None, count: int, seed: int, skeleton: Skeleton
) -> tuple[Any, list[Rejected], str]:
    """Return what accuracy is measured on: samples, unusable label entries, and a description.

    Args:
        data: Label file; None takes generated people.
        images: Folder of its images.
        count: Generated scenes.
        seed: Of the generated scenes.
        skeleton: Of the network.

    Raises:
        RequestError: One of ``data`` and ``images`` is missing.
        DataError: They cannot be used.
    """
    if (data is None) != (images is None):
        missing, given = ("--images", "--data") if images is None else ("--data", "--images")
        raise RequestError(f"{missing}: expected beside {given}, got none; give both or neither")
    if data is not None and images is not None:
        samples, rejected = _labelled(data, images, skeleton)
        return samples, rejected, str(data)
    return _generated(count, seed, skeleton), [], f"{count} generated scenes of seed {seed}"


def _labelled(data: Path, images: Path, skeleton: Skeleton) -> tuple[Any, list[Rejected]]:
    from erpose_edge.metrics.labels import read_labels
    from erpose_edge.validate.accuracy import labelled_files

    labels = read_labels(data, skeleton)
    return labelled_files(labels, images), labels.rejected


def _generated(count: int, seed: int, skeleton: Skeleton) -> Any:  # noqa: ANN401 - a sequence
    from erpose_edge.data.generated.people import GeneratedPeople
    from erpose_edge.skeleton import COCO_17

    if skeleton.name != COCO_17.name:
        raise RequestError(
            f"--data: expected labels of {skeleton.name}, got none; generated people are coco-17"
        )
    return GeneratedPeople(count, seed=seed, size=_GENERATED_SIZE)


def _with_rate(advance: Advance) -> Callable[[int, int], None]:
    start = time.perf_counter()

    def report(done: int, total: int) -> None:
        seconds = time.perf_counter() - start
        rate = done / max(seconds, 1e-9)
        advance(done, total, f"{rate:.1f} images/s, {max(total - done, 0) / rate:.0f} s left")

    return report


def _write_poses(result: Accuracy, path: Path) -> None:
    import json

    from erpose_edge.runtime.files import write_whole
    from erpose_edge.validate.accuracy import coco_detections

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(coco_detections(result.poses)))


def _print_table(document: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(f"{document['source']} on {document['data']}", markup=False, soft_wrap=True)
    table = Table("keypoint AP", "")
    for key, title in METRICS.items():
        table.add_row(title, _shown(document[key]))
    for key, title in CROWD_METRICS.items():
        if document[key] is not None:
            table.add_row(title, _shown(document[key]))
    table.add_section()
    for keypoint, value in document["per_keypoint_oks"].items():
        table.add_row(f"OKS {keypoint.replace('_', ' ')}", _shown(value))
    console.print(table)
    console.print(
        f"{document['images']} images, {document['people']} people; "
        f"{document['rejected']} entries not used",
        markup=False,
        soft_wrap=True,
    )


def _shown(value: float) -> str:
    return "nobody" if value < 0 else f"{value:.3f}"
