"""``erpose-edge validate``: keypoint AP of weights or an artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.accuracy_table import print_accuracy
from erpose_edge.cli.output import Advance, emit_json, list_unusable, progress
from erpose_edge.errors import DataError, RequestError

if TYPE_CHECKING:
    from erpose_edge.metrics.image_labels import Rejected
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.skeleton import Skeleton
    from erpose_edge.validate.accuracy import Accuracy
    from erpose_edge.validate.worst_images import WorstImage

_GENERATED_SIZE = (480, 640)


def command(
    source: Annotated[
        str, typer.Argument(metavar="ARTIFACT_OR_WEIGHTS", help="Artifact folder or weights file.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="COCO-format or CrowdPose label file, or a folder of YOLO-pose text files; "
            "generated people by default."
        ),
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
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ARTIFACT_OR_WEIGHTS",
            help="Also measure this one, usually fp32, and say how much of its AP is left.",
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option(min=0, max=1000, help="List so many images where most is lost.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the --worst images.")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Fail when any label entry or image cannot be used.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure keypoint AP of weights or an artifact."""
    from erpose_edge.deploy.default import open_estimator
    from erpose_edge.validate.accuracy import evaluate_estimator
    from erpose_edge.validate.accuracy_document import accuracy_document

    if out is not None and not worst:
        raise RequestError("--worst: expected a number of images beside --out, got none; give both")
    estimator = open_estimator(source, precision, checked_size(input_size))
    estimator.score_threshold = score_threshold
    skeleton = estimator.skeleton
    other = None if against is None else _open_reference(against, estimator)
    samples, rejected, described = evaluation_samples(data, images, count, seed, skeleton)
    list_unusable(rejected, "label entries")
    with progress("validate") as advance:
        result = evaluate_estimator(estimator, samples, skeleton, _with_rate(advance))
    list_unusable(result.rejected, "images")
    unusable = [*rejected, *result.rejected]
    if strict and unusable:
        raise DataError(f"{unusable[0]}; {len(unusable)} unusable in all, and --strict was given")
    reference = None
    if other is not None:
        with progress("the reference") as advance:
            reference = evaluate_estimator(other, samples, skeleton, _with_rate(advance))
    if save_poses is not None:
        _write_poses(result, save_poses)
    sides = {Path(source).name: result}
    if reference is not None:
        sides = {f"reference {Path(str(against)).name}": reference, **sides}
    document = accuracy_document(
        result,
        skeleton,
        reference,
        reference_name=against or "",
        worst=_worst(sides, samples, skeleton, worst, out),
    )
    document.update(
        result.to_json(rejected),
        source=source,
        data=described,
        skeleton=skeleton.name,
        input_size=list(estimator.contract.input_size),
    )
    if as_json:
        emit_json(document)
    else:
        print_accuracy(document)


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
        data: Label file, or folder of YOLO-pose files; None takes generated people.
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
    from erpose_edge.metrics.yolo_pose import read_yolo_pose
    from erpose_edge.validate.accuracy import labelled_files

    yolo = data.is_dir()
    labels = read_yolo_pose(data, images, skeleton) if yolo else read_labels(data, skeleton)
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


def _open_reference(source: str, estimator: PoseEstimator) -> PoseEstimator:
    """Open what ``estimator`` is compared with; weights in fp32 and at its input size."""
    from erpose_edge.deploy.default import open_estimator

    of_weights = () if Path(source).is_dir() else ("fp32", estimator.contract.input_size)
    reference = open_estimator(source, *of_weights)
    if reference.skeleton.name != estimator.skeleton.name:
        raise RequestError(
            f"--against: expected a network of {estimator.skeleton.name}, "
            f"got one of {reference.skeleton.name}"
        )
    reference.score_threshold = estimator.score_threshold
    return reference


def _worst(
    sides: dict[str, Accuracy],
    samples: Any,  # noqa: ANN401 - a sequence
    skeleton: Skeleton,
    count: int,
    out: Path | None,
) -> list[WorstImage]:
    """Return the worst images of the last of ``sides``, drawn if there is a folder for them."""
    from erpose_edge.metrics.keypoint_ap import match_poses
    from erpose_edge.validate.worst_images import draw_worst, worst_images

    *before, result = sides.values()
    matched = match_poses(result.images, result.poses, skeleton)
    reference = match_poses(result.images, before[0].poses, skeleton) if before else None
    found = worst_images(matched, reference, count)
    if out is None:
        return found
    poses = {name: measured.poses for name, measured in sides.items()}
    return draw_worst(found, samples, poses, skeleton, out)
