"""How far two results are from each other: arrays in decibels, poses in pixels and OKS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.metrics.oks import similarity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses

    Pair = tuple[NDArray[Any], NDArray[Any]]

# What stands for equal arrays, and its negative for values that are not numbers: beyond float32.
EXACT_DB = 200.0
# Two poses are of one person: mean distance of their keypoints over the diagonal around them, ...
SAME_PERSON = 0.5
# ... and the share of its score that the other one has at least.
KEPT_SCORE = 0.5
_VISIBLE = 0.5  # probability; other keypoints lie where nothing holds them


@dataclass(frozen=True)
class Distance:
    """How far array B is from array A.

    Attributes:
        snr_db: Energy of A over that of the difference, decibels, from -`EXACT_DB` (not numbers)
            to `EXACT_DB` (equal).
        max_error: Largest absolute difference, in the arrays' own unit.
        mean_error: Mean absolute difference, in the arrays' own unit.
        bias: Mean of B minus mean of A.
        cosine: Of the angle between both, in [-1, 1]; 1 where both are zero.
    """

    snr_db: float
    max_error: float
    mean_error: float
    bias: float
    cosine: float


@dataclass(frozen=True)
class PoseDistance:
    """How far the poses of B are from those of A, over all pictures.

    Attributes:
        people: In A, of a score that is shown, or the best of a picture without any.
        only_a: Of those, how many B has not at all.
        only_b: The same the other way round.
        px_median: Median distance of a visible keypoint, in pixels; 0 without people.
        px_max: The largest of those.
        oks_mean: Mean OKS of B's poses, A's taken for the truth; 1 without people.
        oks_min: The smallest of those.
        score_max: Largest difference of scores.
        score_mean: Mean of those.
        visibility_max: Largest difference of visibilities.
    """

    people: int
    only_a: int
    only_b: int
    px_median: float
    px_max: float
    oks_mean: float
    oks_min: float
    score_max: float
    score_mean: float
    visibility_max: float


def array_distance(pairs: Iterable[Pair]) -> Distance:
    """Return the distance of all pairs (A, B) of equal shape, taken for one array."""
    signal = noise = other = product = total = shift = largest = 0.0
    count = 0
    for ours, theirs in pairs:
        a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return Distance(-EXACT_DB, EXACT_DB, EXACT_DB, 0.0, 0.0)
        difference = b - a
        signal += float(a @ a)
        other += float(b @ b)
        product += float(a @ b)
        noise += float(difference @ difference)
        total += float(np.abs(difference).sum())
        shift += float(difference.sum())
        largest = max(largest, float(np.abs(difference).max(initial=0.0)))
        count += a.size
    length = math.sqrt(signal * other)
    cosine = product / length if length else float(signal == other)
    return Distance(
        _decibels(signal, noise),
        largest,
        total / max(count, 1),
        shift / max(count, 1),
        min(max(cosine, -1.0), 1.0),
    )


def pose_distance(
    pairs: Iterable[tuple[Poses, Poses]], score_threshold: float, sigmas: NDArray[np.float64]
) -> PoseDistance:
    """Return the distance of the poses (A, B) of all pictures; they are sets, not rows.

    Args:
        pairs: Poses however low their score, for every picture.
        score_threshold: People have at least this score, in [0, 1].
        sigmas: Fall-off of each keypoint in OKS, (K,), unitless.
    """
    people = only_a = only_b = 0
    px: list[NDArray[np.float64]] = [np.zeros(0)]
    oks: list[float] = []
    scores: list[float] = []
    visibility = 0.0
    for ours, theirs in pairs:
        matched = _matched(ours, theirs)
        clear_a, clear_b = _clear(ours, score_threshold), _clear(theirs, score_threshold)
        people += clear_a
        only_a += sum(i not in matched for i in range(clear_a))
        only_b += clear_b - sum(j < clear_b for j in matched.values())
        for i, j in matched.items():
            if i >= clear_a:
                continue
            distance = np.linalg.norm(
                ours.keypoints[i].astype(np.float64) - theirs.keypoints[j], axis=1
            )
            seen = ours.visibility[i] >= _VISIBLE
            seen = seen if seen.any() else np.ones_like(seen)
            px.append(distance[seen])
            area = np.asarray(_sides(ours.keypoints[i : i + 1]).prod())
            oks.append(float(similarity(distance**2, area, sigmas)[seen].mean()))
            scores.append(abs(float(ours.scores[i]) - float(theirs.scores[j])))
            visibility = max(
                visibility, float(np.abs(ours.visibility[i] - theirs.visibility[j]).max())
            )
    all_px = np.concatenate(px)
    return PoseDistance(
        people,
        only_a,
        only_b,
        float(np.median(all_px)) if all_px.size else 0.0,
        float(all_px.max(initial=0.0)),
        float(np.mean(oks)) if oks else 1.0,
        min(oks, default=1.0),
        max(scores, default=0.0),
        float(np.mean(scores)) if scores else 0.0,
        visibility,
    )


def _matched(ours: Poses, theirs: Poses) -> dict[int, int]:
    """Return which pose of B is which of A, one to one, the nearest first."""
    if not len(ours) or not len(theirs):
        return {}
    a, b = ours.keypoints.astype(np.float64), theirs.keypoints.astype(np.float64)
    distance = np.linalg.norm(a[:, None] - b, axis=3).mean(axis=2)
    diagonal = np.linalg.norm(_sides(a), axis=1)[:, None]
    scores_a, scores_b = ours.scores[:, None], theirs.scores[None]
    alike = np.minimum(scores_a, scores_b) >= KEPT_SCORE * np.maximum(scores_a, scores_b)
    usable = alike & (distance <= SAME_PERSON * diagonal)
    found: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(np.where(usable, distance, np.inf), axis=None, kind="stable"):
        i, j = (int(index) for index in np.unravel_index(place, distance.shape))
        if not usable[i, j]:
            break
        if i not in found and j not in taken:
            found[i] = j
            taken.add(j)
    return found


def _clear(poses: Poses, score_threshold: float) -> int:
    """Return how many poses, from the best on, have to be there in the other set, too."""
    shown = int(np.count_nonzero(poses.scores >= score_threshold))
    return max(shown, min(1, len(poses)))


def _sides(keypoints: NDArray[Any]) -> NDArray[np.float64]:
    """Return width and height of the box around each pose, (N, 2)."""
    return np.asarray(keypoints.max(axis=1) - keypoints.min(axis=1), np.float64)


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return EXACT_DB
    if not signal:
        return -EXACT_DB
    return min(max(10 * math.log10(signal / noise), -EXACT_DB), EXACT_DB)
