"""What a label file and its folder of images hold, and what in them cannot be used.

Every image is opened, since a label file says nothing about missing or damaged pictures. Nothing is
changed or repaired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.errors import DataError, ImageError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet, Rejected
from erpose_edge.metrics.labels import read_labels
from erpose_edge.runtime.album import Album
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.runner import usable_cores
from erpose_edge.skeleton import Skeleton

_HIDDEN, _VISIBLE = 1, 2  # COCO flags
_SHARES = (10, 50, 90)  # percentiles of the sizes of people
_IGNORED_COLOUR = (150, 150, 150)


@dataclass(frozen=True)
class KeypointCount:
    """How often one keypoint is labelled, over the people that are not ignored."""

    visible: int
    hidden: int
    unlabelled: int


@dataclass(frozen=True)
class LabelReport:
    """What was found.

    Attributes:
        labels: Usable images and people; images that cannot be opened are left out.
        folder: Of the images.
        rejected: Label entries that cannot be used.
        unreadable: Images that are missing, damaged or of another size than their labels say.
    """

    labels: LabelSet
    folder: Path
    rejected: list[Rejected]
    unreadable: list[Rejected]

    @property
    def people(self) -> int:
        """People to find; ignored ones do not count."""
        return self.labels.people

    @property
    def ignored(self) -> int:
        """Crowds, people without a labelled keypoint, and what the file marks so."""
        return sum(int(image.ignore.sum()) for image in self.labels.images)

    def keypoint_counts(self) -> dict[str, KeypointCount]:
        """Return how often each keypoint is labelled, by its name."""
        flags = self._people()[:, :, 2]
        return {
            name: KeypointCount(
                visible=int((flags[:, index] == _VISIBLE).sum()),
                hidden=int((flags[:, index] == _HIDDEN).sum()),
                unlabelled=int((flags[:, index] == 0).sum()),
            )
            for index, name in enumerate(self.labels.skeleton.keypoints)
        }

    def image_sizes(self) -> dict[str, int]:
        """Return how many images there are of each ``width x height``, the most frequent first."""
        sizes = Counter(f"{image.width} x {image.height}" for image in self.labels.images)
        return dict(sizes.most_common())

    def person_sizes_px(self) -> dict[str, float]:
        """Return percentiles of the square root of people's areas, in source pixels."""
        areas = np.concatenate([image.areas[~image.ignore] for image in self.labels.images])
        if not areas.size:
            return {}
        found = np.percentile(np.sqrt(areas), _SHARES)
        return {f"p{s}": round(float(v), 1) for s, v in zip(_SHARES, found, strict=True)}

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``data check --json``."""
        images = self.labels.images
        return {
            "labels": self.labels.path,
            "folder": str(self.folder),
            "skeleton": self.labels.skeleton.name,
            "images": len(images),
            "images_without_people": sum(bool(image.ignore.all()) for image in images),
            "people": self.people,
            "ignored": self.ignored,
            "keypoints": {name: vars(c) for name, c in self.keypoint_counts().items()},
            "keypoints_outside": self.keypoints_outside(),
            "image_sizes": self.image_sizes(),
            "person_sizes_px": self.person_sizes_px(),
            "rejected": [vars(entry) for entry in self.rejected],
            "unreadable": [vars(entry) for entry in self.unreadable],
        }

    def keypoints_outside(self) -> int:
        """Return how many labelled keypoints lie outside their picture."""
        outside = 0
        for image in self.labels.images:
            x, y, flag = np.moveaxis(image.keypoints[~image.ignore], -1, 0)
            inside = (x > -1) & (x < image.width) & (y > -1) & (y < image.height)
            outside += int((~inside & (flag > 0)).sum())
        return outside

    def _people(self) -> NDArray[np.float32]:
        return np.concatenate([image.keypoints[~image.ignore] for image in self.labels.images])


def check_labels(
    labels: str | Path,
    folder: str | Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LabelReport:
    """Read a label file and open every image that it lists.

    Args:
        labels: COCO-format or CrowdPose label file.
        folder: Of its images.
        progress: Called with the images that were opened and their number.

    Raises:
        DataError: The file, the folder, or every image in it cannot be used.
    """
    found, folder = read_labels(labels), Path(folder)
    if not folder.is_dir():
        raise DataError(f"images {folder}: expected a folder, got none; check the path")
    usable: list[ImageLabels] = []
    unreadable: list[Rejected] = []
    problems = _problems(found.images, folder)
    for done, (image, problem) in enumerate(zip(found.images, problems, strict=True), start=1):
        if problem is None:
            usable.append(image)
        else:
            file = str(folder / image.file_name)
            unreadable.append(Rejected(file, f"image {image.image_id}", problem))
        progress(done, len(found.images))
    if not usable:
        raise DataError(
            f"images {folder}: expected at least one usable image of {found.path}, got none; "
            f"the first: {unreadable[0]}"
        )
    return LabelReport(replace(found, images=usable), folder, list(found.rejected), unreadable)


def draw_labels(report: LabelReport, folder: str | Path, count: int) -> list[Path]:
    """Draw the labels of some images, spread evenly over the file; ignored people get a grey box.

    Args:
        report: What was found.
        folder: Made if missing.
        count: Number of pictures; fewer where fewer images have people.

    Returns:
        The pictures.

    Raises:
        RequestError: ``folder`` cannot be written to.
    """
    album, skeleton = Album(folder), report.labels.skeleton
    with_people = [image for image in report.labels.images if len(image)]
    return [
        album.write_picture(
            Path(image.file_name),
            _drawn(read_image(report.folder / image.file_name), image, skeleton),
        )
        for image in _spread(with_people, count)
    ]


def _problems(images: Sequence[ImageLabels], folder: Path) -> Iterator[str | None]:
    """Yield why each image cannot be used, or None; they are decoded on all cores."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        try:
            yield from threads.map(lambda image: _problem(folder / image.file_name, image), images)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for all


def _problem(path: Path, labels: ImageLabels) -> str | None:
    """Return why an image cannot be used, or None."""
    try:
        height, width = read_image(path).shape[:2]
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    if (height, width) != (labels.height, labels.width):
        return (
            f"size: expected {labels.width} x {labels.height} as labelled, got {width} x {height}"
        )
    return None


def _spread(images: Sequence[ImageLabels], count: int) -> list[ImageLabels]:
    places = np.linspace(0, len(images) - 1, min(count, len(images)))
    return [images[round(float(place))] for place in places]


def _drawn(image: NDArray[np.uint8], labels: ImageLabels, skeleton: Skeleton) -> NDArray[np.uint8]:
    for person, points in enumerate(labels.keypoints):
        if labels.ignore[person]:
            x, y, width, height = (round(float(side)) for side in labels.boxes[person])
            cv2.rectangle(image, (x, y), (x + width, y + height), _IGNORED_COLOUR, 1)
            continue
        known = np.flatnonzero(points[:, 2])
        pose = Poses(
            np.ones(1, np.float32),
            points[None, known, :2],
            (points[None, known, 2] == _VISIBLE).astype(np.float32),
        )
        image = draw_poses(image, pose, _only(skeleton, known.tolist()))
    return image


def _only(skeleton: Skeleton, known: list[int]) -> Skeleton:
    """Return the part of a skeleton whose keypoints are ``known``: the others have no place."""
    place = {keypoint: index for index, keypoint in enumerate(known)}
    return Skeleton(
        name=skeleton.name,
        keypoints=tuple(skeleton.keypoints[k] for k in known),
        sigmas=tuple(skeleton.sigmas[k] for k in known),
        mirror=tuple(range(len(known))),
        limbs=tuple((place[a], place[b]) for a, b in skeleton.limbs if {a, b} <= place.keys()),
    )
