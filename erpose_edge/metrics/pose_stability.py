"""Steadiness of poses on video: jitter of keypoints, flicker of people, change of their order.

Jitter is the standard deviation of the noise, for each coordinate, that would cause the second
differences found along a track, as a percentage of the person's diagonal. The second difference
``x[t-1] - 2 x[t] + x[t+1]`` of independent noise has 6 times its variance, that of steady motion
is zero. What is left of acceleration is removed where it is known what moved: the labels, or the
same people as another network saw them, are subtracted first.

Ref: Gasser, Sroka, Jennen-Steinmetz, Residual variance and residual pattern in nonlinear
regression, Biometrika 73, 1986 (variance from second differences); Kanazawa et al., Learning 3D
Human Dynamics from Video, CVPR 2019 (difference of accelerations as a measure of steadiness).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.metrics.oks import similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels
    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton

SAME_PERSON = 0.3  # least OKS of one person in two frames, or of two answers in one
LEAST_SEEN = 5  # visible keypoints of a labelled person who is there to be found
_VISIBLE = 0.5
_NOISE_GAIN = 6.0  # variance of a second difference of noise of variance 1
# OKS takes the area of a person's outline, near a fifth of the square of their diagonal. Here it is
# the whole square: people move between frames, and an answer that jumps is still the same person's.
_AREA_OF_DIAGONAL = 1.0


@dataclass(frozen=True)
class Tracks:
    """N people over T frames.

    Attributes:
        keypoints: (T, N, K, 2) float32, source pixels; NaN where a person was not found.
        counted: (T, N, K) bool, keypoints that can be seen.
        rank: (T, N) int16, place in the order of the answers from 0 on; -1 where not found.
    """

    keypoints: NDArray[np.float32]
    counted: NDArray[np.bool_]
    rank: NDArray[np.int16]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Who was found when, (T, N)."""
        return np.asarray(self.rank >= 0)

    @property
    def diagonals(self) -> NDArray[np.float64]:
        """Diagonal of the box around a person's keypoints, (T, N) pixels; NaN if not found."""
        return _diagonals(self.keypoints)


@dataclass(frozen=True)
class Jitter:
    """Noise of the coordinates, % of the diagonal; None where no track is three frames long.

    Attributes:
        value: Root of the mean square: jumps weigh heavily.
        typical: The same from the median: what most frames show.
        keypoints: ``value`` of each keypoint, K of them.
        samples: Second differences of keypoints that were found.
    """

    value: float | None
    typical: float | None
    keypoints: tuple[float | None, ...]
    samples: int


def labelled_tracks(labels: Sequence[ImageLabels]) -> Tracks:
    """Return the people of a labelled clip; ``annotation_ids`` say who is who.

    A person is there in the frames in which `LEAST_SEEN` keypoints are visible.
    """
    known = sorted({int(i) for frame in labels for i in frame.annotation_ids})
    count = labels[0].keypoints.shape[1] if labels else 0
    tracks = _nobody(len(labels), len(known), count)
    for t, frame in enumerate(labels):
        here = ~frame.ignore & ((frame.keypoints[:, :, 2] == 2).sum(axis=1) >= LEAST_SEEN)
        rows = np.flatnonzero(here)
        columns = np.searchsorted(known, frame.annotation_ids[rows])
        labelled = frame.keypoints[rows, :, 2] > 0
        points = np.where(labelled[..., None], frame.keypoints[rows, :, :2], np.nan)
        tracks.keypoints[t, columns] = points
        tracks.counted[t, columns] = labelled
        tracks.rank[t, columns] = rows
    return tracks


def follow(poses: Sequence[Poses], people: Tracks, skeleton: Skeleton) -> Tracks:
    """Return the answers for known people: in every frame the most similar pose, each one once.

    Args:
        poses: One entry a frame.
        people: Labels, or the tracks of another network on the same clip.
        skeleton: Of both.

    Returns:
        Tracks of the same N people.
    """
    tracks = _nobody(len(poses), people.rank.shape[1], len(skeleton))
    for t, answers in enumerate(poses):
        columns = np.flatnonzero(people.rank[t] >= 0)
        pairs = _same(people.keypoints[t, columns], answers.keypoints, skeleton)
        _put(tracks, t, columns[pairs[:, 0]], pairs[:, 1], answers)
    return tracks


def link(poses: Sequence[Poses], skeleton: Skeleton, patience: int) -> Tracks:
    """Return tracks of the answers alone, each linked to the person whom it is most like.

    Args:
        poses: One entry a frame.
        skeleton: Theirs.
        patience: A person who was not found for so many frames and then is, is somebody else.
    """
    last = np.zeros((0, len(skeleton), 2), np.float32)  # where each person was seen last
    when = np.zeros(0, np.int64)
    owners: list[NDArray[np.int64]] = []
    for t, answers in enumerate(poses):
        recent = np.flatnonzero(t - when <= patience)
        pairs = _same(last[recent], answers.keypoints, skeleton)
        owner = np.full(len(answers), -1, np.int64)
        owner[pairs[:, 1]] = recent[pairs[:, 0]]
        new = np.flatnonzero(owner < 0)
        owner[new] = len(when) + np.arange(len(new))
        last = np.concatenate([last, answers.keypoints[new].astype(np.float32)])
        when = np.concatenate([when, np.full(len(new), t)])
        last[owner], when[owner] = answers.keypoints, t
        owners.append(owner)
    tracks = _nobody(len(poses), len(when), len(skeleton))
    for t, (owner, answers) in enumerate(zip(owners, poses)):
        _put(tracks, t, owner, np.arange(len(owner)), answers)
    return tracks


def jitter(tracks: Tracks, still: Tracks | None = None) -> Jitter:
    """Return the noise of the keypoints along their tracks.

    Args:
        tracks: Of one network.
        still: The same people as they are, or as another network saw them: their motion is
            subtracted, their keypoints are counted, and their size is that of the people.
    """
    basis = tracks if still is None else still
    path = tracks.keypoints.astype(np.float64)
    counted = tracks.found[..., None] & basis.counted
    if still is not None:
        path = path - still.keypoints
    bend = path[:-2] - 2 * path[1:-1] + path[2:]
    size = basis.diagonals
    size = (size[:-2] + size[1:-1] + size[2:]) / 3
    known = counted[:-2] & counted[1:-1] & counted[2:] & (size > 0)[..., None]
    # Two coordinates share one sum of squares.
    square = (bend**2).sum(axis=-1) / (2 * _NOISE_GAIN)
    noise = 1e4 * square / np.where(size > 0, size, 1.0)[..., None] ** 2
    used = noise[known]
    counts = known.sum(axis=(0, 1))
    sums = np.where(known, noise, 0.0).sum(axis=(0, 1))
    each = tuple(float(np.sqrt(s / n)) if n else None for s, n in zip(sums, counts))
    if not used.size:
        return Jitter(None, None, each, 0)
    # The sum of two squares of unit noise has a median of 2 ln 2, and a mean of 2.
    typical = float(np.sqrt(np.median(used) / np.log(2)))
    return Jitter(float(np.sqrt(used.mean())), typical, each, int(used.size))


def flicker(tracks: Tracks, people: Tracks | None = None) -> tuple[int, int]:
    """Count how often a person who is there appears or disappears.

    Args:
        tracks: Of one network.
        people: The same people as they are. Without them a person is there from the first to the
            last time they were found: gaps are flicker, entering and leaving the picture are not.

    Returns:
        Changes, and the number of frames a person was there, summed over people.
    """
    found = tracks.found
    if people is None:
        seen = np.logical_or.accumulate(found, axis=0)
        there = seen & np.logical_or.accumulate(found[::-1], axis=0)[::-1]
    else:
        there = people.found
    changes = (found[1:] != found[:-1]) & there[1:] & there[:-1]
    return int(changes.sum()), int(there.sum())


def order_changes(before: Tracks, after: Tracks) -> tuple[int, int]:
    """Count pairs of people that stand in another order in ``after`` than in ``before``.

    Args:
        before: Tracks of some people.
        after: Of the same people in the same number of frames; a network's own next frames, or
            another network's answers.

    Returns:
        Swapped pairs, and pairs that were found in both.
    """
    both = before.found & after.found
    pairs = np.triu(both[:, :, None] & both[:, None, :], 1)
    first = before.rank[:, :, None] < before.rank[:, None, :]
    then = after.rank[:, :, None] < after.rank[:, None, :]
    return int(((first != then) & pairs).sum()), int(pairs.sum())


def between(tracks: Tracks, first: int, last: int | None) -> Tracks:
    """Return the frames from ``first`` to before ``last``."""
    part = slice(first, last)
    return Tracks(tracks.keypoints[part], tracks.counted[part], tracks.rank[part])


def distance(tracks: Tracks, others: Tracks) -> float | None:
    """Return the mean distance of the same keypoints, % of the diagonal in ``others``."""
    known = tracks.found[..., None] & others.counted
    apart = tracks.keypoints.astype(np.float64) - others.keypoints
    away = np.sqrt((apart**2).sum(axis=-1))
    size = others.diagonals
    known &= (size > 0)[..., None]
    part = 100 * away / np.where(size > 0, size, 1.0)[..., None]
    return float(part[known].mean()) if known.any() else None


def _nobody(frames: int, people: int, keypoints: int) -> Tracks:
    return Tracks(
        np.full((frames, people, keypoints, 2), np.nan, np.float32),
        np.zeros((frames, people, keypoints), bool),
        np.full((frames, people), -1, np.int16),
    )


def _put(
    tracks: Tracks, t: int, people: NDArray[np.intp], rows: NDArray[np.intp], answers: Poses
) -> None:
    tracks.keypoints[t, people] = answers.keypoints[rows]
    tracks.counted[t, people] = answers.visibility[rows] >= _VISIBLE
    tracks.rank[t, people] = rows


def _diagonals(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the diagonals (...) of the boxes around keypoints (..., K, 2), NaN left out."""
    missing = np.isnan(keypoints)
    low = np.where(missing, np.inf, keypoints).min(axis=-2).astype(np.float64)
    high = np.where(missing, -np.inf, keypoints).max(axis=-2).astype(np.float64)
    sides = np.where(np.isfinite(low), high, np.nan) - np.where(np.isfinite(low), low, 0.0)
    root: NDArray[np.float64] = np.sqrt((sides**2).sum(axis=-1))
    return root


def _same(
    people: NDArray[np.float32], answers: NDArray[np.float32], skeleton: Skeleton
) -> NDArray[np.intp]:
    """Return (M, 2): rows of people (N, K, 2) and of answers (D, K, 2) that are one person.

    Greedy: the most similar pair first; of equals the earlier person and the better answer.
    """
    offsets = people[:, None].astype(np.float64) - answers[None]
    known = ~np.isnan(offsets[..., 0])
    far = np.where(known, (offsets**2).sum(axis=-1), 0.0)
    areas = _AREA_OF_DIAGONAL * _diagonals(people)[:, None, None] ** 2
    alike = similarity(far, areas, np.array(skeleton.sigmas)) * known
    oks = alike.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    pairs: list[tuple[int, int]] = []
    while oks.size and oks.max() >= SAME_PERSON:
        person, answer = divmod(int(oks.argmax()), oks.shape[1])
        pairs.append((person, answer))
        oks[person], oks[:, answer] = -1.0, -1.0
    return np.array(pairs, np.intp).reshape(-1, 2)
