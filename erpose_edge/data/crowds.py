"""Crowded scenes: real people of a labelled split, composited on its photographs.

Photographs of everyday life are rarely crowded, so a set of them says little about crowds. These
scenes are spread over easy, medium and hard. They do not replace CrowdPose: light and style of the
people do not match, and nobody leans on anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.crowd_plan import Place, plan_crowd
from erpose_edge.data.cutouts import Candidate, Cutout, candidates, cut_out, is_grey
from erpose_edge.data.pasting import put_in_front
from erpose_edge.data.sample import UNLABELLED, VISIBLE, Sample, shrink, warp
from erpose_edge.data.sources import Photographs
from erpose_edge.errors import DataError
from erpose_edge.metrics.crowd_index import EASY_BELOW, HARD_FROM, crowd_index
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.skeleton import Skeleton

MOST_PASTED = 15  # with those of the background, as many as an evaluation looks at
_LEAST_VISIBLE = 3  # keypoints; people of whom newcomers leave fewer are ignored
_FEWEST_CANDIDATES = 5
_MOST_BEHIND = 5  # people in a background
_LARGEST_BEHIND = 0.2  # share of the picture that one of them fills at most
_ADAPTED = 0.3  # how far newcomers take on the background's colour: 0 not, 1 wholly
_LARGEST_GAIN = 1.5
_SMALLEST_MODEL = 0.07  # torso over the shorter side of the picture
_ATTEMPTS = 4  # to meet the wanted crowding
_CUTOUTS_KEPT = 256
# Crowd index that is aimed at. The index ends at 1; those who get hidden lower it.
_AIMS = ((0.0, EASY_BELOW), (EASY_BELOW, HARD_FROM), (HARD_FROM, 1.2))


class CrowdScenes:
    """Composited scenes, each a function of the photographs, the seed and its number.

    Scenes 0, 3, 6, ... aim at easy, 1, 4, ... at medium and 2, 5, ... at hard images.

    Args:
        photographs: The split.
        skeleton: Of its labels.
        count: Number of scenes.
        seed: Different seeds have no scene in common.
        people: Least and most people that are pasted into a scene.

    Raises:
        DataError: Too few people can be cut out, or no photograph can be a background.
    """

    def __init__(
        self,
        photographs: Photographs,
        skeleton: Skeleton,
        count: int,
        seed: int = 0,
        people: tuple[int, int] = (4, 10),
    ) -> None:
        self._photographs = photographs
        self._skeleton = skeleton
        self._count = count
        self._seed = seed
        self._people = people
        upright = candidates(photographs.labels, skeleton)
        self._models = _models(photographs.labels, upright)
        self._candidates = [candidate for candidate in upright if candidate.free]
        if len(self._candidates) < _FEWEST_CANDIDATES:
            raise DataError(
                f"labels: expected at least {_FEWEST_CANDIDATES} people who stand free and are "
                f"labelled from head to feet, got {len(self._candidates)}; take a larger split"
            )
        self._cutout = lru_cache(_CUTOUTS_KEPT)(self._cut)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], ImageLabels]]:
        return (self[index] for index in range(self._count))

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], ImageLabels]:
        """Return scene ``index`` and its labels.

        Raises:
            ImageError: A photograph cannot be read, or is of another size than its labels.
        """
        low, high = _AIMS[index % len(_AIMS)]
        missed = np.inf
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([self._seed, index, attempt])
            sample = self._compose(index % len(_AIMS), float(rng.uniform(low, high)), rng)
            labels = _labels_of(sample, index)
            found = crowd_index(labels)
            miss = max(low - found, found - high, 0.0)
            if miss < missed:
                missed = miss
                scene = sample.image, replace(labels, crowd_index=found)
            if low <= found < high:
                break
        return scene

    def _compose(self, subset: int, wanted: float, rng: np.random.Generator) -> Sample:
        model = self._models[int(rng.integers(len(self._models)))]
        choice = [c for c in self._candidates if c.image != model.image]
        # The more crowded, the more people: a third of their range for each subset.
        least, most = self._people
        count = round(least + (most - least) * (subset + float(rng.random())) / len(_AIMS))
        cut = self._plan(model, choice, count, wanted, rng)
        scene = self._photographs.sample(model.image)
        look = _Look(scene.image)
        before = [(scene.flags == VISIBLE).sum(1)]
        for place, cutout in cut:
            newcomer, mask = _put(cutout, place, scene.image.shape[:2], self._skeleton)
            newcomer = replace(newcomer, image=look.of(newcomer.image, mask))
            scene = put_in_front(scene, newcomer, mask)
            before.append((newcomer.flags == VISIBLE).sum(1))
        return _ignore_hidden(scene, np.concatenate(before))

    def _plan(
        self,
        model: Candidate,
        choice: list[Candidate],
        count: int,
        wanted: float,
        rng: np.random.Generator,
    ) -> list[tuple[Place, Cutout]]:
        """Plan until everybody in the plan can be cut out, which is known when it is tried."""
        images = self._photographs.labels
        while choice:
            places = plan_crowd(images[model.image], model, images, choice, count, wanted, rng)
            cut = [(place, self._cutout(place.candidate)) for place in places]
            usable = [(place, cutout) for place, cutout in cut if cutout is not None]
            if len(usable) == len(cut):
                return usable
            failed = {place.candidate for place, cutout in cut if cutout is None}
            choice = [candidate for candidate in choice if candidate not in failed]
        raise DataError(
            f"labels: expected people who can be told from their background, got none of "
            f"{len(self._candidates)} candidates; take a larger split"
        )

    def _cut(self, candidate: Candidate) -> Cutout | None:
        sample = self._photographs.sample(candidate.image)
        return cut_out(sample, candidate.person, self._skeleton)


def _models(images: Sequence[ImageLabels], upright: Sequence[Candidate]) -> list[Candidate]:
    """Return an upright person of every image that can be a background: few and small people.

    A crowd region is not allowed: nobody knows how many people it holds, so the image has no
    crowd index.
    """
    found: dict[int, Candidate] = {}
    for candidate in upright:
        labels = images[candidate.image]
        small = labels.areas < _LARGEST_BEHIND * labels.width * labels.height
        seen = candidate.torso >= _SMALLEST_MODEL * min(labels.width, labels.height)
        if len(labels) <= _MOST_BEHIND and small.all() and seen and not labels.crowd.any():
            found.setdefault(candidate.image, candidate)
    if not found:
        raise DataError(
            f"labels: expected a photograph of at most {_MOST_BEHIND} small people, one of whom "
            "stands and is labelled from head to feet, got none; take a larger split"
        )
    return list(found.values())


class _Look:
    """Brightness and tint of a background, which newcomers take on in part."""

    def __init__(self, background: NDArray[np.uint8]) -> None:
        self._mean = np.maximum(background.reshape(-1, 3).mean(0), 1)
        self._grey = is_grey(background)

    def of(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        mean = np.maximum(image[mask > 127].mean(0), 1)
        gain = np.clip((self._mean / mean) ** _ADAPTED, 1 / _LARGEST_GAIN, _LARGEST_GAIN)
        adapted = np.clip(image * gain.astype(np.float32), 0, 255).astype(np.uint8)
        if self._grey:
            adapted = cv2.cvtColor(cv2.cvtColor(adapted, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        return np.asarray(adapted, np.uint8)


def _put(
    cutout: Cutout, place: Place, size: tuple[int, ...], skeleton: Skeleton
) -> tuple[Sample, NDArray[np.uint8]]:
    """Return a cutout and its mask at their place in a picture of ``size`` (height, width)."""
    sample, mask = cutout.sample, cutout.mask
    zoom = place.height / float(sample.boxes[0, 3] - sample.boxes[0, 1])
    if zoom < 1:  # by averaging: a warp alone would skip pixels
        height, width = mask.shape
        sample = shrink(sample, (max(1, round(height * zoom)), max(1, round(width * zoom))))
        mask = np.asarray(
            cv2.resize(mask, sample.image.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8
        )
    matrix = place.matrix(sample.boxes[0])
    moved = cv2.warpAffine(mask, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    return warp(sample, matrix, (size[0], size[1]), skeleton), np.asarray(moved, np.uint8)


def _ignore_hidden(scene: Sample, visible_before: NDArray[np.int64]) -> Sample:
    """Ignore those of whom newcomers left next to nothing: they are neither there nor not there."""
    visible = (scene.flags == VISIBLE).sum(1)
    hidden = (visible < visible_before) & (visible < _LEAST_VISIBLE)
    return replace(scene, ignored=scene.ignored | hidden)


def _labels_of(scene: Sample, index: int) -> ImageLabels:
    flags = np.maximum(scene.flags, UNLABELLED)[..., None]  # what is outside has no label
    keypoints = np.concatenate([scene.keypoints, flags], 2) * (flags > UNLABELLED)
    boxes = scene.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    return ImageLabels(
        image_id=index + 1,
        file_name=f"{index:06d}.jpg",
        width=scene.image.shape[1],
        height=scene.image.shape[0],
        keypoints=keypoints.astype(np.float32),
        boxes=boxes,
        areas=scene.areas.astype(np.float64),
        ignore=scene.ignored,
        annotation_ids=np.arange(1, len(flags) + 1, dtype=np.int64),
    )
