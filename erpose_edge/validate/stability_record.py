"""The document of a clip's stability: the statistics, and the tracks that they were computed from.

Whoever has the document can compute every statistic again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import ConfigError, IntegrityError
from erpose_edge.metrics.pose_stability import Tracks
from erpose_edge.runtime.json_arrays import array_from_json, array_to_json
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.stability import (
    ANSWERS,
    DIGITS,
    LABELS,
    REFERENCE,
    Stability,
    statistics,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


_SAME = 2e-6  # two statistics from the same tracks, computed on two machines
_ARRAYS = {"keypoints": "<f4", "counted": "|b1", "rank": "<i2"}
# Whose tracks there are, by where identities come from.
_NEEDED = {LABELS: "labels", REFERENCE: "against", ANSWERS: "artifact"}


def stability_document(
    measured: Stability, description: str, against: str | None = None
) -> dict[str, Any]:
    """Return everything as plain JSON values; see ``schemas/stability.json``.

    Args:
        measured: Of `measure_stability`.
        description: Of the clip.
        against: What the other estimator is.
    """
    frames = len(measured.answers["artifact"])
    return {
        "clip": {
            "description": description,
            "frames": frames,
            "rate": measured.rate,
            "seconds": round(frames / measured.rate, DIGITS),
            "frame_size": list(measured.frame_size),
            "sha256": measured.sha256,
        },
        "skeleton": measured.skeleton.name,
        "people_from": measured.people,
        "reference": against,
        **statistics(measured),
        "samples": {
            "tracks": {name: _packed_tracks(found) for name, found in measured.tracks.items()},
            "answers": {
                name: array_to_json(found, "<i2") for name, found in measured.answers.items()
            },
        },
    }


def check_statistics(document: Mapping[str, Any]) -> None:
    """Compute the statistics of a document again from its tracks.

    Raises:
        IntegrityError: The tracks are damaged, or a statistic is another.
    """
    measured = _unpacked(document)
    for name, value in statistics(measured).items():
        _compare(f"stability: {name}", document.get(name), value)


def _compare(where: str, stated: object, computed: object) -> None:
    if isinstance(computed, dict):
        for key, value in computed.items():
            _compare(f"{where}.{key}", stated.get(key) if isinstance(stated, dict) else None, value)
        return
    same = stated == computed
    if isinstance(stated, float) and isinstance(computed, float):
        same = abs(stated - computed) <= _SAME  # counts are the same or are not
    if not same:
        raise IntegrityError(
            f"{where}: expected {computed} as its tracks give, got {stated}; measure again"
        )


def _packed_tracks(tracks: Tracks) -> dict[str, Any]:
    return {name: array_to_json(getattr(tracks, name), dtype) for name, dtype in _ARRAYS.items()}


def _unpacked(document: Mapping[str, Any]) -> Stability:
    """Return what a document was made of.

    Raises:
        IntegrityError: Its samples are damaged.
    """
    try:
        clip, samples = document["clip"], document["samples"]
        tracks = {
            name: Tracks(*(array_from_json(parts[key], dtype) for key, dtype in _ARRAYS.items()))
            for name, parts in samples["tracks"].items()
        }
        answers = {name: array_from_json(part, "<i2") for name, part in samples["answers"].items()}
        found = Stability(
            rate=float(clip["rate"]),
            skeleton=skeleton_named(document["skeleton"]),
            people=document["people_from"],
            tracks=tracks,
            answers=answers,
            frame_size=(0, 0),
            sha256=clip["sha256"],
        )
        shapes = {t.keypoints.shape[:3] for t in tracks.values()}
        shapes |= {t.counted.shape for t in tracks.values()}
        counts = {a.shape for a in answers.values()} | {s[:1] for s in shapes}
        if len(shapes) != 1 or len(counts) != 1 or counts != {(clip["frames"],)}:
            raise ValueError(f"arrays of {sorted(shapes)}")
        if not {_NEEDED[found.people], *answers} <= set(tracks) or not 0 < found.rate < math.inf:
            raise ValueError(f"people from {found.people} at {found.rate} frames/s")
        if any(t.rank.shape != t.counted.shape[:2] for t in tracks.values()):
            raise ValueError("ranks of other people")
    except (
        ConfigError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as error:
        raise IntegrityError(
            f"stability samples: expected the tracks of a clip, got {error}; measure again"
        ) from None
    return found
