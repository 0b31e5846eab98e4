"""The accuracy of one network as a document: what a certificate holds and ``validate`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import DataError, IntegrityError
from erpose_edge.metrics.keypoint_ap import match_poses
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.metrics.per_keypoint import ap_per_keypoint
from erpose_edge.metrics.resampling import DRAWS
from erpose_edge.validate.retention import DrawnAP, Interval, drawn_ap, retention_of
from erpose_edge.validate.worst_images import WorstImage, worst_images

if TYPE_CHECKING:
    from erpose_edge.skeleton import Skeleton
    from erpose_edge.validate.accuracy import Accuracy

_SIZES = ("ap", "ap_medium", "ap_large")  # in the order of matching.AREA_RANGES
_TOLERANCE = 1e-9  # of an AP that was computed again: sums in another order
_MOST_DRAWS = 100_000  # a document of somebody else's must not take all time and memory
LEVEL = 0.95
WORST = 8


def accuracy_document(
    accuracy: Accuracy,
    skeleton: Skeleton,
    reference: Accuracy | None = None,
    *,
    reference_name: str = "fp32",
    worst: Sequence[WorstImage] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Return plain JSON values about one network, with its poses' outcomes as raw samples.

    The document holds:

    - every field of `KeypointAP` (``ap`` ... ``per_keypoint_oks``, ``images``, ``people``);
    - ``rejected``, ``rejected_entries``: what could not be measured;
    - ``per_keypoint_ap``: for each keypoint its AP, see `ap_per_keypoint`;
    - ``intervals``: for ``ap``, ``ap_medium`` and ``ap_large`` the ends ``[low, high]``, or null;
    - ``bootstrap``: ``draws``, ``seed`` and ``level`` of every interval;
    - ``against``: null, or with a reference its ``name``, ``ap``, ``ap_medium``, ``ap_large`` and
      ``per_keypoint_ap``, and ``retention`` and ``difference`` of ``ap``, ``ap_medium`` and
      ``ap_large``, each ``{"value", "low", "high"}`` or null where the reference finds nobody.
      The intervals are paired: the same images were drawn for both;
    - ``worst_images``: see `WorstImage`;
    - ``outcomes``: see `Outcomes`; `check_accuracy` computes AP and intervals from them again.

    Args:
        accuracy: What was measured.
        skeleton: Of the network and the labels.
        reference: What the reference, usually fp32, reached on the same images.
        reference_name: What to call it.
        worst: Worst images that were drawn already; found by default.
        draws: Sets of images to draw.
        seed: Of the draws.

    Raises:
        DataError: The two were measured on different images.
    """
    matched = match_poses(accuracy.images, accuracy.poses, skeleton)
    outcomes = Outcomes.of(matched)
    document = accuracy.to_json()
    document["per_keypoint_ap"] = ap_per_keypoint(matched, skeleton)
    drawn = _drawn(outcomes, draws, seed)
    document["intervals"] = _intervals(drawn)
    document["bootstrap"] = {"draws": draws, "seed": seed, "level": LEVEL}
    document["against"] = None
    theirs = None
    if reference is not None:
        if set(reference.poses) != set(accuracy.poses):
            raise DataError(
                f"accuracy: expected {reference_name} on the same {len(accuracy.poses)} images, "
                f"got {len(reference.poses)}, some of them others; measure both on the same data"
            )
        theirs = match_poses(accuracy.images, reference.poses, skeleton)
        document["against"] = {
            "name": reference_name,
            **{size: getattr(reference.metrics, size) for size in _SIZES},
            "per_keypoint_ap": ap_per_keypoint(theirs, skeleton),
            **_compared(drawn, _drawn(Outcomes.of(theirs), draws, seed)),
        }
    found = worst_images(matched, theirs, WORST) if worst is None else worst
    document["worst_images"] = [image.to_json() for image in found]
    document["outcomes"] = outcomes.to_json()
    return document


def check_accuracy(
    document: Mapping[str, Any], reference: Mapping[str, Any] | None = None
) -> list[str]:
    """Compute AP, intervals and retention of a document again from its outcomes.

    Args:
        document: From `accuracy_document`.
        reference: The document of what it was compared with; without it ``against`` is not
            checked.

    Returns:
        A line for every number that does not follow from the outcomes.

    Raises:
        IntegrityError: The outcomes cannot be read, or the document lacks a field.
    """
    try:
        settings = document["bootstrap"]
        draws, seed = int(settings["draws"]), int(settings["seed"])
        if not 1 <= draws <= _MOST_DRAWS:
            raise ValueError(f"{draws} draws")
        drawn = _drawn(Outcomes.from_json(document["outcomes"]), draws, seed)
        wrong = [_unequal(size, document[size], drawn[size].value) for size in _SIZES]
        for size, ends in _intervals(drawn).items():
            wrong.append(_unequal(f"intervals.{size}", document["intervals"][size], ends))
        against = document["against"]
        if against is not None and reference is not None:
            theirs = _drawn(Outcomes.from_json(reference["outcomes"]), draws, seed)
            for kind, sizes in _compared(drawn, theirs).items():
                for size, expected in sizes.items():
                    place = f"against.{kind}.{size}"
                    wrong.append(_unequal(place, against[kind][size], expected))
            for size in _SIZES:
                wrong.append(_unequal(f"against.{size}", against[size], theirs[size].value))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"accuracy: expected a document as accuracy_document writes it, got {error!r}; "
            "measure again"
        ) from None
    return [line for line in wrong if line is not None]


def _drawn(outcomes: Outcomes, draws: int, seed: int) -> dict[str, DrawnAP]:
    return {name: drawn_ap(outcomes, draws, seed, area) for area, name in enumerate(_SIZES)}


def _intervals(drawn: Mapping[str, DrawnAP]) -> dict[str, list[float] | None]:
    found: dict[str, list[float] | None] = {}
    for name, ap in drawn.items():
        interval = ap.interval
        found[name] = None if interval is None else [interval.low, interval.high]
    return found


def _compared(
    ours: Mapping[str, DrawnAP], theirs: Mapping[str, DrawnAP]
) -> dict[str, dict[str, dict[str, float] | None]]:
    kept: dict[str, dict[str, float] | None] = {}
    difference: dict[str, dict[str, float] | None] = {}
    for name in _SIZES:
        found = retention_of(ours[name], theirs[name])
        kept[name] = difference[name] = None
        if found is not None:
            kept[name] = asdict(Interval(found.value, found.low, found.high))
            difference[name] = asdict(found.difference)
    return {"retention": kept, "difference": difference}


def _unequal(what: str, written: object, computed: object) -> str | None:
    """Return a line where a number, or a list or object of numbers, is not the computed one."""
    if written is None and computed is None:
        return None
    got, expected = _flat(written), _flat(computed)
    same = got and len(got) == len(expected)
    if same and np.allclose(got, expected, rtol=0, atol=_TOLERANCE):
        return None
    return f"{what}: expected {computed} from the outcomes, got {written}"


def _flat(value: object) -> list[float]:
    """Return the numbers of a value in the order of their names; none where it holds others."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value)]
    values = value if isinstance(value, list) else [value]
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) else []
