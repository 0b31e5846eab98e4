"""Labelled images, and their way into a COCO-format document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """The people of one image, N of them, in source pixels.

    Attributes:
        image_id: Id of the image in its file.
        file_name: Path of the image below the folder of images.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        keypoints: (N, K, 3) float32: x, y and COCO flag (0 unlabelled, 1 hidden, 2 visible).
        boxes: (N, 4) float32: x, y, width, height.
        areas: (N,) float64, square pixels.
        ignore: (N,) bool; neither a person to find nor background: crowds, people without a
            labelled keypoint, and what the file marks so.
        annotation_ids: (N,) int64.
        crowd_index: CrowdPose's crowding of the image, or None.
        crowd: (N,) bool; regions of many people, which take any number of detections.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    keypoints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float64]
    ignore: NDArray[np.bool_]
    annotation_ids: NDArray[np.int64]
    crowd_index: float | None = None
    crowd: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if self.crowd.size == 0 and self.ignore.size > 0:
            object.__setattr__(self, "crowd", np.zeros(self.ignore.shape, bool))

    def __len__(self) -> int:
        return len(self.areas)


@dataclass(frozen=True)
class Rejected:
    """One entry of a label file that cannot be used.

    Attributes:
        file: The label file.
        entry: Which entry: ``image 7``, ``annotation 12``, or by position where it has no id.
        reason: ``<field>: expected <x>, got <y>``.
    """

    file: str
    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.entry}: {self.reason}"


@dataclass(frozen=True)
class LabelSet:
    """What a label file holds.

    Attributes:
        skeleton: Of every person in it.
        images: In the order of the file, images without people among them.
        rejected: Entries that cannot be used.
        path: The file, or a name where there is none.
    """

    skeleton: Skeleton
    images: list[ImageLabels]
    rejected: list[Rejected]
    path: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def people(self) -> int:
        """Number of people that are not ignored."""
        return sum(int(np.count_nonzero(~image.ignore)) for image in self.images)


def to_coco(images: Iterable[ImageLabels], skeleton: Skeleton) -> dict[str, Any]:
    """Return ``images`` as the JSON document of a COCO-format label file.

    `read_labels` gives back the same labels; annotation ids are kept.
    """
    listed = list(images)
    return {
        "images": [_image_json(image) for image in listed],
        "annotations": [
            _person_json(image, index) for image in listed for index in range(len(image))
        ],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
            }
        ],
    }


def _image_json(image: ImageLabels) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": int(image.image_id),
        "file_name": image.file_name,
        "width": int(image.width),
        "height": int(image.height),
    }
    if image.crowd_index is not None:
        entry["crowdIndex"] = float(image.crowd_index)
    return entry


def _person_json(image: ImageLabels, index: int) -> dict[str, Any]:
    flags = image.keypoints[index, :, 2]
    values: list[float] = image.keypoints[index].astype(np.float64).ravel().tolist()
    values[2::3] = [int(flag) for flag in flags]
    entry: dict[str, Any] = {
        "id": int(image.annotation_ids[index]),
        "image_id": int(image.image_id),
        "category_id": 1,
        "iscrowd": int(image.crowd[index]),
        "bbox": image.boxes[index].astype(np.float64).tolist(),
        "area": float(image.areas[index]),
        "num_keypoints": int(np.count_nonzero(flags)),
        "keypoints": values,
    }
    if image.ignore[index] and not image.crowd[index] and entry["num_keypoints"]:
        entry["ignore"] = 1
    return entry
