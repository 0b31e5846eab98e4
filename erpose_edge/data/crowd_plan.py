"""Where people stand in a composited crowd: decided on labels alone, before a pixel is painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.cutouts import Candidate
from erpose_edge.metrics.crowd_index import crowding
from erpose_edge.metrics.image_labels import ImageLabels

_TRIES = 48  # places that are compared for each person
_HORIZON = (0.15, 0.4)  # of the height of the picture, where people get infinitely small
_SIZES = (0.75, 1.4)  # of people, over that of the model
_LARGEST_TORSO = 0.25  # of the shorter side of the picture; a person is 3 to 4 torsos high
_ZOOM = (0.25, 1.6)  # of a photograph; more would show
_LEAST_APART = 0.6  # torsos between the chests of two people, or one would hide the other


@dataclass(frozen=True)
class Place:
    """Where a candidate goes, in pixels of the scene.

    Attributes:
        candidate: Who.
        foot: x of the middle and y of the lower edge of its box.
        height: Of its box.
        mirrored: True where left and right are swapped.
    """

    candidate: Candidate
    foot: tuple[float, float]
    height: float
    mirrored: bool

    def matrix(self, box: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the map (2, 3) that brings ``box`` (x0, y0, x1, y1) to its place."""
        zoom = self.height / float(box[3] - box[1])
        linear = np.diag([-zoom if self.mirrored else zoom, zoom])
        foot = np.array([(box[0] + box[2]) / 2, box[3]], np.float64)
        return np.concatenate([linear, (self.foot - linear @ foot)[:, None]], 1)


@dataclass(frozen=True)
class _Standing:
    """A place with what a person there brings along, in pixels of the scene."""

    place: Place
    keypoints: NDArray[np.float32]  # (K, 3)
    box: NDArray[np.float32]  # x, y, width, height
    chest: NDArray[np.float64]  # (2,)
    torso: float

    def hides(self, other: _Standing) -> bool:
        """Say whether one stands right before the other."""
        apart = float(np.hypot(*(self.chest - other.chest)))
        return apart < _LEAST_APART * max(self.torso, other.torso)


@dataclass(frozen=True)
class _View:
    """The imagined camera: how large somebody is, by where the feet are."""

    width: int
    height: int
    horizon: float
    model_torso: float
    model_feet: float

    def stand(
        self, candidate: Candidate, labels: ImageLabels, rng: np.random.Generator
    ) -> _Standing | None:
        """Return a random place for a candidate, or None where it does not fit into the picture.

        Args:
            candidate: Who.
            labels: Of its photograph.
            rng: Decides.
        """
        size = float(rng.uniform(*_SIZES))
        torso = size * self.model_torso
        feet = self.horizon + size * (self.model_feet - self.horizon)
        zoom = torso / candidate.torso
        x, y, width, height = labels.boxes[candidate.person].astype(np.float64)
        spare = self.width - zoom * width
        middle = zoom * width / 2 + float(rng.random()) * spare
        mirrored = bool(rng.random() < 0.5)
        fits = spare >= 0 and zoom * height <= feet < self.height
        fits = fits and torso <= _LARGEST_TORSO * min(self.width, self.height)
        if not fits or not _ZOOM[0] <= zoom <= _ZOOM[1]:
            return None
        place = Place(candidate, (middle, feet), zoom * height, mirrored)
        matrix = place.matrix(np.array([x, y, x + width, y + height]))
        keypoints = labels.keypoints[candidate.person].copy()
        keypoints[:, :2] = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return _Standing(
            place,
            keypoints,
            np.array(
                [middle - zoom * width / 2, feet - zoom * height, zoom * width, zoom * height]
            ),
            matrix[:, :2] @ candidate.chest + matrix[:, 2],
            torso,
        )


def plan_crowd(
    background: ImageLabels,
    model: Candidate,
    images: Sequence[ImageLabels],
    choice: Sequence[Candidate],
    count: int,
    wanted: float,
    rng: np.random.Generator,
) -> list[Place]:
    """Return places for people on a background, furthest first.

    The crowd index grows evenly with every person: of many random places the one is taken that
    brings it nearest to its share of ``wanted``.

    Args:
        background: Labels of the background; its people count.
        model: One of them; newcomers are as large as it would be at their place.
        images: Labels of the photographs that the candidates come from.
        choice: Candidates; each is placed once at most.
        count: People to place. There are fewer where no more fit.
        wanted: Crowd index of the whole scene.
        rng: The only source of chance.
    """
    feet = float(background.boxes[model.person, [1, 3]].sum())
    horizon = float(rng.uniform(*_HORIZON)) * feet
    view = _View(background.width, background.height, horizon, model.torso, feet)
    keypoints = background.keypoints[~background.ignore]
    boxes = background.boxes[~background.ignore]
    standing: list[_Standing] = []
    for turn in range(count):
        aim = wanted * turn / max(count - 1, 1)
        placed = {one.place.candidate for one in standing}
        best: tuple[float, _Standing] | None = None
        for _ in range(_TRIES):
            candidate = choice[int(rng.integers(len(choice)))]
            new = view.stand(candidate, images[candidate.image], rng)
            if new is None or candidate in placed or any(new.hides(one) for one in standing):
                continue
            index = crowding(
                np.concatenate([keypoints, new.keypoints[None]]),
                np.concatenate([boxes, new.box[None]]),
            )
            if best is None or abs(index - aim) < best[0]:
                best = abs(index - aim), new
        if best is not None:
            standing.append(best[1])
            keypoints = np.concatenate([keypoints, best[1].keypoints[None]])
            boxes = np.concatenate([boxes, best[1].box[None]])
    return [one.place for one in sorted(standing, key=lambda one: one.place.foot[1])]
