"""Measure keypoint AP of an estimator on labelled images.

One bad image does not end the run: it is listed, it counts neither for nor against the network,
and the number of such images stands beside every result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from erpose_edge.errors import DataError, ImageError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet, Rejected
from erpose_edge.metrics.keypoint_ap import KeypointAP, evaluate
from erpose_edge.runtime.images import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton

    Sample = tuple[NDArray[np.uint8] | Path, ImageLabels]
    Progress = Callable[[int, int], object]

# A pose below it can hardly raise AP, but every one kept costs decoding; drawing takes more.
SCORE_THRESHOLD = 0.01


class Estimator(Protocol):
    """Finds poses in a frame; `PoseEstimator` is one."""

    def __call__(self, frame: NDArray[np.uint8]) -> Poses:
        """Return the poses in ``frame``, BGR (H, W, 3), in its own pixels."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """What was measured.

    Attributes:
        metrics: Keypoint AP and its kin.
        poses: By image id, in source pixels.
        rejected: Images that could not be measured.
        images: Labels of those that could.
    """

    metrics: KeypointAP
    poses: dict[int, Poses]
    rejected: list[Rejected]
    images: list[ImageLabels] = field(default_factory=list)

    def to_json(self, labels_rejected: Iterable[Rejected] = ()) -> dict[str, Any]:
        """Return what was measured as plain values; `accuracy_document` says how sure it is.

        Args:
            labels_rejected: Entries that the reader of the label file could not use.
        """
        document = asdict(self.metrics)
        entries = [str(entry) for entry in (*labels_rejected, *self.rejected)]
        document.update(rejected=len(entries), rejected_entries=entries)
        return document


def labelled_files(labels: LabelSet, folder: str | Path) -> list[tuple[Path, ImageLabels]]:
    """Return the images of ``labels`` in ``folder``, to be given to `evaluate_estimator`.

    Raises:
        DataError: There is no such folder.
    """
    if not Path(folder).is_dir():
        raise DataError(f"images {folder}: expected a folder, got none; check the path")
    return [(Path(folder) / image.file_name, image) for image in labels.images]


def evaluate_estimator(
    estimator: Estimator,
    samples: Iterable[Sample],
    skeleton: Skeleton,
    progress: Progress | None = None,
) -> Accuracy:
    """Run ``estimator`` on every sample and compare what it finds with the labels.

    Args:
        estimator: Its score threshold decides how far the precision-recall curve reaches;
            `SCORE_THRESHOLD` is meant for it.
        samples: Images, BGR uint8 (H, W, 3) or the path of one, each with its labels.
        skeleton: Of the estimator and of the labels.
        progress: Called with the number of images done and of all images (0 if unknown).

    Raises:
        DataError: No image can be used, or the poses are not finite.
    """
    total = len(samples) if isinstance(samples, Sized) else 0
    measured: list[ImageLabels] = []
    poses: dict[int, Poses] = {}
    rejected: list[Rejected] = []
    for done, (source, labels) in enumerate(samples, start=1):
        try:
            image = read_image(source) if isinstance(source, Path) else source
            _check_size(image, labels)
            poses[labels.image_id] = estimator(image)
            measured.append(labels)
        except ImageError as error:
            rejected.append(_rejected(source, labels, str(error)))
        if progress is not None:
            progress(done, total)
    if not measured:
        first = f"; the first: {rejected[0]}" if rejected else ""
        raise DataError(f"images: expected at least one usable image, got none{first}")
    return Accuracy(evaluate(measured, poses, skeleton), poses, rejected, measured)


def coco_detections(poses: dict[int, Poses]) -> list[dict[str, Any]]:
    """Return poses as a COCO result document, at full precision, for other evaluation tools."""
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "score": float(score),
            "keypoints": np.c_[points, seen].astype(float).ravel().tolist(),
        }
        for image_id, found in poses.items()
        for score, points, seen in zip(found.scores, found.keypoints, found.visibility)
    ]


def _rejected(source: object, labels: ImageLabels, message: str) -> Rejected:
    file = str(source) if isinstance(source, Path) else labels.file_name
    named = f"{file}: "
    reason = message[len(named) :] if message.startswith(named) else message
    return Rejected(file, f"image {labels.image_id}", reason)


def _check_size(image: NDArray[np.uint8], labels: ImageLabels) -> None:
    """Refuse an image of another size than its labels': they stand in other pixels."""
    if image.shape[:2] != (labels.height, labels.width):
        raise ImageError(
            f"size: expected {labels.width} x {labels.height} as labelled, "
            f"got {image.shape[1]} x {image.shape[0]}"
        )
