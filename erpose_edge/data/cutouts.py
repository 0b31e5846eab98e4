"""Cut standing people out of labelled photographs, by their keypoints and their colours.

Label files here have no outlines. GrabCut makes one: the limbs are certainly the person, what is
further from them is certainly not, and the colours of both decide what is in between.

Ref: Rother et al., "GrabCut", 2004, https://doi.org/10.1145/1015706.1015720
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.pasting import FACE, HEAD, keypoints_of, only, silhouette
from erpose_edge.data.sample import VISIBLE, Sample, shrink
from erpose_edge.metrics.crowd_index import others_inside
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.skeleton import Skeleton

_LABELLED_SHARE = 0.6  # of the keypoints that a person to be cut out has to have
_SMALLEST_TORSO_PX = 20
_GREY = 1  # a picture whose channels differ by less on average has no colour
_STEEPEST = 1.0  # sideways over upright extent of a torso: 45 degrees
_OTHERS_INSIDE = 2  # keypoints of other people in the box, at most
_CERTAIN, _LIKELY, _POSSIBLE = 0.10, 0.40, 0.75  # widths of limbs over the root of the area
_HEAD_RADIUS = 0.12
_LARGEST_PX = 320  # longer side of what is segmented; more gives no better edge
_MARGIN = 0.1  # of the box on each side: colours of the background
_ROUNDS = 4  # of GrabCut
_MASK_SHARE = (0.25, 0.75)  # of the box; other masks have lost the person or found the wall
_SHORTEST_LEG = 1.0  # torsos from hip to ankle, of the longer leg: who sits, does not stand
_LEG = ("hip", "knee", "ankle")
_TORSO_NAMES = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class Candidate:
    """A person that stands upright and is labelled from head to feet.

    Attributes:
        image: Index of its image.
        person: Index of the person in it.
        chest: Middle of the shoulders, x and y in pixels.
        torso: From there to the middle of the hips, in pixels.
        free: True where nobody else is in its box, so that it can be cut out.
    """

    image: int
    person: int
    chest: tuple[float, float]
    torso: float
    free: bool


@dataclass(frozen=True)
class Cutout:
    """One person without its surroundings.

    Attributes:
        sample: The part of the photograph around the person, and the person.
        mask: (H, W) uint8, 255 on the person.
    """

    sample: Sample
    mask: NDArray[np.uint8]


def candidates(images: Sequence[ImageLabels], skeleton: Skeleton) -> list[Candidate]:
    """Return the people that stand upright and are labelled from head to feet.

    Args:
        images: Labelled images.
        skeleton: Of the labels.
    """
    found = []
    for index, labels in enumerate(images):
        inside = others_inside(labels.keypoints, labels.boxes)
        for person in np.flatnonzero(~labels.ignore):
            body = _upright(labels.keypoints[person], skeleton)
            if body is not None:
                free = bool(inside[person] <= _OTHERS_INSIDE)
                found.append(Candidate(index, int(person), *body, free))
    return found


def _upright(
    keypoints: NDArray[np.float32], skeleton: Skeleton
) -> tuple[tuple[float, float], float] | None:
    """Return chest and torso of a person (K, 3) that stands, or None."""
    points, flags = keypoints[:, :2], keypoints[:, 2]
    place = {name: index for index, name in enumerate(skeleton.keypoints)}
    torso = [place[name] for name in _TORSO_NAMES]
    if not (flags[torso] > 0).all() or np.count_nonzero(flags) < _LABELLED_SHARE * len(skeleton):
        return None
    chest = points[torso[:2]].mean(0)
    across, down = points[torso[2:]].mean(0) - chest
    length = float(np.hypot(across, down))
    if length < _SMALLEST_TORSO_PX or abs(across) > _STEEPEST * down:
        return None
    if not (flags[keypoints_of(skeleton, HEAD)] > 0).any():
        return None
    legs = np.array([[place[f"{side}_{part}"] for part in _LEG] for side in ("left", "right")])
    heights = points[legs, 1]  # (2, 3), from the hip down
    if not ((flags[legs[:, 1:]] == VISIBLE).all() and (np.diff(heights) > 0).all()):
        return None
    if (heights[:, 2] - heights[:, 0]).max() < _SHORTEST_LEG * length:
        return None
    return (float(chest[0]), float(chest[1])), length


def cut_out(sample: Sample, person: int, skeleton: Skeleton) -> Cutout | None:
    """Return ``person`` of a photograph, or None where no plausible outline was found.

    The same sample gives the same cutout.

    Args:
        sample: The photograph with all of its people.
        person: Index of one.
        skeleton: Of the keypoints.
    """
    cropped = _crop(sample, person)
    if not cropped.image.size or is_grey(cropped.image):
        return None
    height, width = cropped.image.shape[:2]
    shrunk = min(1.0, _LARGEST_PX / max(height, width))
    small = shrink(cropped, (max(1, round(height * shrunk)), max(1, round(width * shrunk))))
    regions = _regions(small, person, skeleton)
    certain = (regions == cv2.GC_FGD).astype(np.uint8)
    background = (regions == cv2.GC_BGD) | (regions == cv2.GC_PR_BGD)
    if not (certain.any() and background.any()):
        return None
    cv2.setRNGSeed(0)  # GrabCut clusters colours from random centres
    models = np.zeros((2, 1, 65))
    cv2.grabCut(
        small.image, regions, (0, 0, 0, 0), models[0], models[1], _ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    found = ((regions == cv2.GC_FGD) | (regions == cv2.GC_PR_FGD)).astype(np.uint8)
    # Threads that join a piece of background are cut, limbs stay.
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | certain
    _, pieces = cv2.connectedComponents(found)
    person_pieces = np.unique(pieces[certain > 0])
    mask = np.isin(pieces, person_pieces[person_pieces > 0]).astype(np.uint8)
    x0, y0, x1, y1 = small.boxes[person]
    if not _MASK_SHARE[0] <= mask.sum() / max((x1 - x0) * (y1 - y0), 1) <= _MASK_SHARE[1]:
        return None
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) | certain  # without the mixed pixels
    smooth = cv2.resize(inner * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return Cutout(only(cropped, person), np.where(smooth > 127, np.uint8(255), np.uint8(0)))


def is_grey(image: NDArray[np.uint8]) -> bool:
    """Say whether a picture (H, W, 3) has no colour."""
    spread = image.max(2).astype(np.int16) - image.min(2)
    return bool(spread.mean() < _GREY)


def _crop(sample: Sample, person: int) -> Sample:
    """Return the part of a picture around a person; everybody's labels move along."""
    height, width = sample.image.shape[:2]
    low, high = sample.boxes[person, :2], sample.boxes[person, 2:]
    margin = _MARGIN * (high - low)
    left, top = np.floor(np.clip(low - margin, 0, (width, height))).astype(int)
    right, bottom = np.ceil(np.clip(high + margin, 0, (width, height))).astype(int)
    shift = np.array([left, top], np.float32)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[top:bottom, left:right]),
        keypoints=sample.keypoints - shift,
        boxes=sample.boxes - np.tile(shift, 2),
    )


def _regions(sample: Sample, person: int, skeleton: Skeleton) -> NDArray[np.uint8]:
    """Return what is known of each pixel before colours are looked at, as GrabCut's classes."""
    size = (sample.image.shape[0], sample.image.shape[1])

    def limbs(who: int, known: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
        thickness = max(1, int(width * float(np.sqrt(sample.areas[who]))))
        return silhouette(size, sample.keypoints[who], known, thickness, skeleton) > 0

    flags = sample.flags
    x0, y0, x1, y1 = np.round(sample.boxes[person]).astype(int)
    box = np.zeros(size, bool)
    box[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = True
    regions = np.full(size, cv2.GC_BGD, np.uint8)
    regions[box & limbs(person, flags[person] > 0, _POSSIBLE)] = cv2.GC_PR_BGD
    regions[box & limbs(person, flags[person] > 0, _LIKELY)] = cv2.GC_PR_FGD
    for other in range(len(flags)):
        if other != person:
            regions[limbs(other, flags[other] > 0, _CERTAIN)] = cv2.GC_BGD
    regions[limbs(person, flags[person] == VISIBLE, _CERTAIN)] = cv2.GC_FGD
    face = [i for i in keypoints_of(skeleton, FACE) if flags[person, i] == VISIBLE]
    if face:  # of hair, colours alone lose too much
        centre = np.round(sample.keypoints[person, face].mean(0)).astype(int)
        radius = max(1, int(_HEAD_RADIUS * float(np.sqrt(sample.areas[person]))))
        cv2.circle(regions, centre.tolist(), radius, cv2.GC_FGD, -1)
    return regions
