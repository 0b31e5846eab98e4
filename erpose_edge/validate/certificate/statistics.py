"""Compute every statistic of a certificate again, from its raw samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.metrics.keypoint_ap import accumulate
from erpose_edge.metrics.matching import Matches
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.validate.accuracy_document import check_accuracy
from erpose_edge.validate.latency.document import recompute
from erpose_edge.validate.latency.packing import packed, unpacked
from erpose_edge.validate.latency.turns import turn_statistics
from erpose_edge.validate.stability_record import check_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from erpose_edge.validate.latency.turns import Latency

_SAME = 1e-9  # of numbers that another machine computed; samples are integers


def turns_document(latency: Latency) -> dict[str, Any]:
    """Return a latency that was measured in turns, with its raw samples.

    ``samples_ns`` holds when each frame was begun, preprocessed, inferred and decoded;
    ``turn_frames`` how many frames each turn had.
    """
    return {
        **latency.to_json(),
        "samples_ns": packed(latency.marks_ns),
        "turn_frames": packed(np.array(latency.turn_frames, np.int64)),
    }


def check_turns(document: Mapping[str, Any]) -> None:
    """Compute the statistics of `turns_document` again.

    Raises:
        IntegrityError: The samples are damaged, or a statistic does not follow from them.
    """
    marks = unpacked(document["samples_ns"], "samples_ns", 4)
    frames = unpacked(document["turn_frames"], "turn_frames")
    if int(frames.sum()) != len(marks) or (frames < 1).any() or (np.diff(marks) < 0).any():
        raise IntegrityError(
            f"samples_ns: expected {int(frames.sum())} frames of a clock that never goes back, "
            f"got {len(marks)} or others; measure again"
        )
    require_same(turn_statistics(marks, frames), document)


def check_scenario(document: dict[str, Any]) -> None:
    """Compute the statistics of a scenario again.

    Raises:
        IntegrityError: The samples are damaged, or a statistic does not follow from them.
    """
    require_same(recompute(document), document)


def check_accuracy_of(document: Mapping[str, Any], reference: Mapping[str, Any] | None) -> None:
    """Compute AP, its kin and its intervals again from what became of every pose.

    AP and OKS by keypoint, and the worst images, need the poses themselves and are not checked.

    Args:
        document: As `accuracy_document` wrote it.
        reference: What it was compared with, if that is there.

    Raises:
        IntegrityError: The outcomes are damaged, or a number does not follow from them.
    """
    wrong = check_accuracy(document, reference)
    if wrong:
        raise IntegrityError(f"{wrong[0]}; measure again")
    outcomes = Outcomes.from_json(document["outcomes"])
    matches = Matches(np.where(outcomes.right, 0, -1), outcomes.ignored)
    people = outcomes.people.sum(axis=0)
    precision, recall = accumulate(matches, outcomes.scores, people)
    require_same(
        {
            "ap50": float(precision[0, 0].mean()),
            "ap75": float(precision[0, 5].mean()),
            "ar": float(recall[0].mean()),
            "images": len(outcomes.people),
            "people": int(people[0]),
        },
        document,
    )


def check_stability(document: dict[str, Any]) -> None:
    """Compute the statistics of a clip again.

    Raises:
        IntegrityError: The tracks are damaged, or a statistic does not follow from them.
    """
    check_statistics(document)


def require_same(computed: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Check that what was computed stands in a document.

    Raises:
        IntegrityError: Something else does; the message names the first field.
    """
    for place, expected, got in differences(computed, stated):
        raise IntegrityError(
            f"{place}: expected {_short(expected)}, which follows from the samples, got "
            f"{_short(got)}; measure again"
        )


def differences(
    computed: object, stated: object, place: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Yield every field of ``computed`` for which ``stated`` has another value, and both values."""
    if isinstance(computed, dict):
        inner = stated if isinstance(stated, dict) else {}
        for name, value in computed.items():
            yield from differences(value, inner.get(name, _MISSING), f"{place}.{name}".strip("."))
    elif isinstance(computed, (list, tuple)):
        values = stated if isinstance(stated, list) else []
        if len(values) != len(computed):
            yield place, computed, stated
            return
        for index, value in enumerate(computed):
            yield from differences(value, values[index], f"{place}[{index}]")
    elif not _equal(computed, stated):
        yield place, computed, stated


_MISSING = "nothing"


def _equal(computed: object, stated: object) -> bool:
    numbers = (int, float)
    plain = not isinstance(computed, bool) and not isinstance(stated, bool)
    if plain and isinstance(computed, numbers) and isinstance(stated, numbers):
        return math.isclose(computed, stated, rel_tol=_SAME, abs_tol=_SAME)
    return type(computed) is type(stated) and computed == stated


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
