"""The images on which a network loses most against a reference, and pictures of both.

An image is judged by its own AP, as if it were the whole set: whether its people are found, how
well, and whether something else was more certain than they. Wrong poses after the last right one
cost nothing there, nor on the whole set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from erpose_edge.errors import RequestError
from erpose_edge.metrics.keypoint_ap import MatchedPoses, accumulate
from erpose_edge.metrics.matching import Matches
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.poses import Poses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels
    from erpose_edge.skeleton import Skeleton

_GAP_PX = 8
_LEAST_LOSS = 1e-6  # a perfect AP is below 1 by rounding
_CAPTION = 0.045  # height of the caption over that of the picture
_LEAST_CAPTION_PX = 22
DRAWN_FROM = 0.3  # score of the faintest pose that is drawn; AP counts far less certain ones


@dataclass(frozen=True)
class WorstImage:
    """One image.

    Attributes:
        image_id: Of the labels.
        file_name: Of the labels.
        people: To find.
        ap: Of this image alone.
        reference_ap: The reference's; None without one.
        picture: Name of the picture of both; None where none was drawn.
    """

    image_id: int
    file_name: str
    people: int
    ap: float
    reference_ap: float | None = None
    picture: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as they are."""
        return asdict(self)


def image_ap(matched: MatchedPoses) -> NDArray[np.float64]:
    """Return the AP of every image alone, (I,), -1 where nobody is to be found."""
    image = matched.image_of_pose
    bounds = np.searchsorted(image, np.arange(len(matched.images) + 1))
    found = []
    for index in range(len(matched.images)):
        own = slice(int(bounds[index]), int(bounds[index + 1]))
        part = Matches(matched.matches.person[:1, :, own], matched.matches.ignored[:1, :, own])
        precision, _ = accumulate(part, matched.scores[own], matched.people[index, :1])
        found.append(float(precision.mean()))
    return np.array(found, np.float64)


def worst_images(
    matched: MatchedPoses, reference: MatchedPoses | None = None, count: int = 8
) -> list[WorstImage]:
    """Return the images with the greatest loss against ``reference``, or else the lowest AP.

    Of equal ones the first by id come first. Images without people to find are none of them, nor
    are, with a reference, images on which nothing is lost.

    Args:
        matched: Poses of the network.
        reference: Of the reference, on the same images.
        count: At most so many.
    """
    own = image_ap(matched)
    theirs = image_ap(reference) if reference is not None else np.ones(len(own))
    loss = np.where(matched.people[:, 0] > 0, theirs - own, -np.inf)
    order = [int(i) for i in np.argsort(-loss, kind="stable")[:count] if loss[i] > _LEAST_LOSS]
    return [
        WorstImage(
            image_id=int(matched.images[i].image_id),
            file_name=matched.images[i].file_name,
            people=int(matched.people[i, 0]),
            ap=float(own[i]),
            reference_ap=None if reference is None else float(theirs[i]),
        )
        for i in order
    ]


def draw_worst(
    worst: Iterable[WorstImage],
    samples: Iterable[tuple[NDArray[np.uint8] | Path, ImageLabels]],
    sides: Mapping[str, Mapping[int, Poses]],
    skeleton: Skeleton,
    folder: Path,
) -> list[WorstImage]:
    """Write a picture of each image, one side beside the other under its name and AP.

    Args:
        worst: From `worst_images`; the reference's AP belongs to the first side, the network's to
            the last.
        samples: What was measured, as `accuracy.evaluate_estimator` takes it.
        sides: For each name its poses by image id, in source pixels, in the order to be drawn.
        skeleton: Of the poses.
        folder: Made if missing.

    Returns:
        ``worst`` with the names of the pictures, ``<rank>-<image>.jpg``.

    Raises:
        RequestError: A picture cannot be written.
        ImageError: An image cannot be read any more.
    """
    listed = list(worst)
    place = {image.image_id: index for index, image in enumerate(listed)}
    folder.mkdir(parents=True, exist_ok=True)
    for source, labels in samples:
        index = place.get(labels.image_id)
        if index is None:
            continue
        one = listed[index]
        image = read_image(source) if isinstance(source, Path) else source
        aps = [one.reference_ap] * (len(sides) - 1) + [one.ap]
        parts: list[NDArray[np.uint8]] = []
        for (name, poses), ap in zip(sides.items(), aps):
            drawn = draw_poses(image, _certain(poses[labels.image_id]), skeleton)
            text = name if ap is None else f"{name}: AP {ap:.3f}"
            parts += [_under(drawn, text), np.full((1, _GAP_PX, 3), 255, np.uint8)]
        name = f"{index + 1:02d}-{Path(labels.file_name).stem}.jpg"
        _write(folder / name, _side_by_side(parts[:-1]))
        listed[index] = WorstImage(**{**one.to_json(), "picture": name})
    return listed


def _certain(poses: Poses) -> Poses:
    kept = poses.scores >= DRAWN_FROM
    return Poses(poses.scores[kept], poses.keypoints[kept], poses.visibility[kept])


def _under(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Return a picture with a line of text above it, as wide as the picture."""
    height, width = picture.shape[:2]
    line = max(_LEAST_CAPTION_PX, round(_CAPTION * height))
    strip: NDArray[np.uint8] = np.full((line, width, 3), 255, np.uint8)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, round(0.5 * line), 1)
    wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    scale *= min(1.0, (width - 8) / max(wide, 1))
    at = (4, round(0.72 * line))
    cv2.putText(strip, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def _side_by_side(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(part.shape[0] for part in parts)
    filled = [np.broadcast_to(p, (height, p.shape[1], 3)) if len(p) == 1 else p for p in parts]
    return np.concatenate(filled, axis=1)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), picture):
        raise RequestError(f"{path}: expected to write a picture, got an error; is there space?")
