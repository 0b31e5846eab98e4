"""How steady an estimator's poses are on a clip, alone and against another on the same frames.

Who is who comes from the clip's labels where it has some, else from the answers of the other
estimator, else from the answers themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import DataError
from erpose_edge.metrics.pose_stability import (
    Tracks,
    between,
    distance,
    flicker,
    follow,
    jitter,
    labelled_tracks,
    link,
    order_changes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels
    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton
    from erpose_edge.validate.accuracy import Estimator

    Progress = Callable[[int, int], object]

LABELS, REFERENCE, ANSWERS = "labels", "reference", "answers"
_FEWEST_FRAMES = 3  # a second difference needs them
_PATIENCE_S = 0.5  # somebody who was lost for longer and is found again is somebody else
DIGITS = 6


@dataclass(frozen=True)
class Stability:
    """What a clip showed.

    Attributes:
        rate: Frames a second.
        skeleton: Of all tracks.
        people: Where identities come from: ``labels``, ``reference`` or ``answers``.
        tracks: Of the N people in T frames: the estimator's under ``artifact``, and where there
            are some ``against`` and ``labels``.
        answers: How many poses each estimator gave in each frame, (T,) each.
        frame_size: (height, width) in pixels.
        sha256: Of all frames' bytes, one after the other.
    """

    rate: float
    skeleton: Skeleton
    people: str
    tracks: Mapping[str, Tracks]
    answers: Mapping[str, NDArray[np.int16]]
    frame_size: tuple[int, int]
    sha256: str


def measure_stability(
    estimator: Estimator,
    clip: Iterable[tuple[NDArray[np.uint8], ImageLabels | None]],
    rate: float,
    skeleton: Skeleton,
    against: Estimator | None = None,
    progress: Progress | None = None,
) -> Stability:
    """Run one or two estimators over a clip.

    Args:
        estimator: As it will be used: its score threshold decides who is found.
        clip: Frames, BGR (H, W, 3), each with labels or all without.
        rate: Frames a second.
        skeleton: Of everybody.
        against: Usually fp32.
        progress: Called with the number of frames done and of all frames (0 if unknown).

    Raises:
        DataError: The clip has fewer than three frames, only some have labels, or the rate is not
            positive.
    """
    if not 0 < rate < math.inf:
        raise DataError(f"clip rate: expected frames a second above 0, got {rate}; correct it")
    estimators = {"artifact": estimator, **({} if against is None else {"against": against})}
    poses: dict[str, list[Poses]] = {name: [] for name in estimators}
    labels: list[ImageLabels] = []
    digest = hashlib.sha256()
    size, done = (0, 0), 0
    total = len(clip) if isinstance(clip, Sized) else 0
    for done, (frame, known) in enumerate(clip, start=1):
        digest.update(frame.tobytes())
        size = (frame.shape[0], frame.shape[1])
        for name, finds in estimators.items():
            poses[name].append(finds(frame))
        labels += [] if known is None else [known]
        if progress is not None:
            progress(done, total)
    if done < _FEWEST_FRAMES:
        raise DataError(f"clip: expected at least {_FEWEST_FRAMES} frames, got {done}; film longer")
    if len(labels) not in (0, done):
        raise DataError(
            f"clip: expected labels for all {done} frames or for none, got {len(labels)}"
        )
    people, tracks = _identify(poses, labels, skeleton, math.ceil(_PATIENCE_S * rate))
    answers = {name: np.array([len(p) for p in found], np.int16) for name, found in poses.items()}
    return Stability(rate, skeleton, people, tracks, answers, size, digest.hexdigest())


def _identify(
    poses: Mapping[str, list[Poses]], labels: list[ImageLabels], skeleton: Skeleton, patience: int
) -> tuple[str, dict[str, Tracks]]:
    if labels:
        known = labelled_tracks(labels)
        followed = {name: follow(found, known, skeleton) for name, found in poses.items()}
        return LABELS, {**followed, "labels": known}
    if "against" in poses:
        others = link(poses["against"], skeleton, patience)
        return REFERENCE, {
            "artifact": follow(poses["artifact"], others, skeleton),
            "against": others,
        }
    return ANSWERS, {"artifact": link(poses["artifact"], skeleton, patience)}


def statistics(measured: Stability) -> dict[str, Any]:
    """Return the statistics of a clip as plain values: what its document states."""
    found = {name: _of_one(measured, name) for name in measured.answers}
    document = {**found["artifact"], "people": measured.tracks["artifact"].rank.shape[1]}
    document["against"] = None
    if "against" in found:
        document["against"] = {**found["against"], **_difference(measured, found)}
    return document


def _of_one(measured: Stability, name: str) -> dict[str, Any]:
    tracks, known = measured.tracks[name], measured.tracks.get("labels")
    guide = measured.tracks["against"] if measured.people == REFERENCE else known
    shake = jitter(tracks, known)
    changes, frames = flicker(tracks, known)
    seconds = frames / measured.rate
    swapped, pairs = order_changes(between(tracks, 0, -1), between(tracks, 1, None))
    each = zip(measured.skeleton.keypoints, map(_rounded, shake.keypoints))
    return {
        "jitter": {
            "value": _rounded(shake.value),
            "typical": _rounded(shake.typical),
            "per_keypoint": dict(each),
            "samples": shake.samples,
        },
        "flicker": {
            "value": _rounded(changes / seconds if seconds else None),
            "changes": changes,
            "person_seconds": _rounded(seconds),
        },
        "order": _order(swapped, pairs),
        "found": None if guide is None else _share_found(tracks, guide),
        "others_per_frame": _rounded(
            float(measured.answers[name].sum() - tracks.found.sum()) / len(tracks.rank)
        ),
    }


def _difference(measured: Stability, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    own, others = measured.tracks["artifact"], measured.tracks["against"]
    jitters = [found[name]["jitter"]["value"] for name in ("artifact", "against")]
    ratio = jitters[0] / jitters[1] if jitters[0] is not None and jitters[1] else None
    return {
        "jitter_ratio": _rounded(ratio),
        "added_jitter": _rounded(jitter(own, others).value),
        "distance": _rounded(distance(own, others)),
        "found_of_reference": _share_found(own, others),
        "order_difference": _order(*order_changes(others, own)),
    }


def _order(swapped: int, pairs: int) -> dict[str, Any]:
    share = swapped / pairs if pairs else None
    return {"value": _rounded(share), "swapped": swapped, "pairs": pairs}


def _share_found(tracks: Tracks, people: Tracks) -> float | None:
    there = people.found
    return _rounded(float(tracks.found[there].mean())) if there.any() else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def stability_misses(
    document: Mapping[str, Any], max_jitter: float | None = None, max_flicker: float | None = None
) -> list[str]:
    """Return in what a clip misses a budget, one line each.

    Nobody found is a miss too: there is nothing that could have been steady.

    Args:
        document: Of `erpose_edge.validate.stability_record.stability_document`.
        max_jitter: Percent of the diagonal.
        max_flicker: Changes for each person and second.
    """
    misses = []
    limits = (
        ("jitter", max_jitter, " % of a person's diagonal"),
        ("flicker", max_flicker, " changes for each person and second"),
    )
    for name, limit, unit in limits:
        got = document[name]["value"]
        nobody = not document["jitter"]["samples"]
        if limit is None or (not nobody and got is not None and got <= limit):
            continue
        shown = "nobody found long enough" if nobody or got is None else f"{got:.3f}"
        misses.append(f"{name}: expected at most {limit:g}{unit}, got {shown}")
    return misses
