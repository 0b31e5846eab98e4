"""The stages of a comparison, each built from the frames of both sides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.runtime.decode import decode
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.parity.budget import (
    DECODING,
    INPUT_SNR_DB,
    PICTURE_SNR_DB,
    PoseBudget,
)
from erpose_edge.validate.parity.capture import in_input_pixels
from erpose_edge.validate.parity.measures import (
    Distance,
    PoseDistance,
    array_distance,
    pose_distance,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses
    from erpose_edge.validate.parity.capture import Capture, Frame, Side

PICTURE, INPUT, DECODED, POSE_STAGE = "picture", "input", "decoded", "poses"
OWN_DECODING = {"A": "decode A", "B": "decode B"}


@dataclass(frozen=True)
class Stage:
    """One row of the comparison.

    Attributes:
        name: ``picture``, ``input``, ``stem``, ``P3`` to ``P5``, an output of the head,
            ``decode A``, ``decode B``, ``decoded`` or ``poses``.
        distance: Of arrays; None for poses.
        poses: Of poses; None for arrays.
        budget: Limit by measure.
        misses: What is beyond the budget, in words.
        missing: Why it could not be compared, or not wholly; "" where it was.
    """

    name: str
    distance: Distance | None = None
    poses: PoseDistance | None = None
    budget: dict[str, float] | None = None
    misses: tuple[str, ...] = ()
    missing: str = ""

    @property
    def ok(self) -> bool | None:
        """False beyond the budget; None where there was nothing to compare."""
        if self.misses:
            return False
        return None if self.missing else True


def array_stage(name: str, distance: Distance, floor: float) -> Stage:
    """Return the row of arrays at a distance; ``floor`` in decibels is their budget."""
    misses: tuple[str, ...] = ()
    if not distance.snr_db >= floor:
        misses = (f"SNR: expected at least {floor:g} dB, got {distance.snr_db:.1f} dB",)
    return Stage(name, distance=distance, budget={"snr_db": floor}, misses=misses)


def picture_stage(frames: Sequence[tuple[Frame, Frame]]) -> Stage:
    """Compare the pictures as they were decoded."""
    pairs = [(a.picture.image, b.picture.image) for a, b in frames]
    for index, (ours, theirs) in enumerate(pairs):
        if ours.shape != theirs.shape:
            named = frames[index][0].picture.name
            miss = f"{named}: expected {ours.shape[:2]} pixels, got {theirs.shape[:2]}"
            return Stage(PICTURE, budget={"snr_db": PICTURE_SNR_DB}, misses=(miss,))
    return array_stage(PICTURE, array_distance(pairs), PICTURE_SNR_DB)


def input_stage(frames: Sequence[tuple[Frame, Frame]]) -> Stage:
    """Compare what goes into the network."""
    return array_stage(INPUT, array_distance((a.images, b.images) for a, b in frames), INPUT_SNR_DB)


def head_stages(
    a: Capture, b: Capture, frames: Sequence[tuple[Frame, Frame]], floors: dict[str, float]
) -> list[Stage]:
    """Compare every output of the head that a side shows; ``floors`` in decibels."""
    names = {name for capture in (a, b) for name in capture.frames[0].heads}
    stages = []
    for name in sorted(names, key=_head_order) or [HEAD_OUTPUTS]:
        lacking = [
            f"{side}: {capture.side.missing or 'no such output'}"
            for side, capture in (("A", a), ("B", b))
            if any(name not in frame.heads for frame in capture.frames)
        ]
        if lacking:
            stages.append(Stage(name, missing="; ".join(lacking)))
            continue
        kind, _, stride = name.partition("_")
        pairs = [(x.heads[name], y.heads[name]) for x, y in frames]
        if kind != "scores":
            chosen = [_best_points(x, a.side, int(stride)) for x, _ in frames]
            pairs = [
                (ours[0][:, points], theirs[0][:, points])
                for (ours, theirs), points in zip(pairs, chosen)
            ]
            if not any(points.any() for points in chosen):
                stages.append(Stage(name, missing="none of the best poses comes from here"))
                continue
        floor = floors["scores" if kind == "scores" else "others"]
        stages.append(array_stage(name, array_distance(pairs), floor))
    return stages


def _best_points(frame: Frame, side: Side, stride: int) -> NDArray[np.bool_]:
    """Return where on a level the best ``max_poses`` of all levels are, (h, w)."""
    scores = {s: frame.heads[f"scores_{s}"][0, 0] for s in side.strides}
    every = np.concatenate([level.ravel() for level in scores.values()])
    count = min(side.max_poses, every.size)
    least = np.partition(every, every.size - count)[every.size - count]
    return np.asarray(scores[stride] >= least)


HEAD_OUTPUTS = "head outputs"
_KINDS = ("scores", "keypoints", "visibility", "boxes")


def _head_order(name: str) -> tuple[int, int]:
    kind, _, stride = name.partition("_")
    return int(stride), _KINDS.index(kind)


def own_decoding(name: str, capture: Capture) -> Stage:
    """Compare what a side decoded with what this host decodes from the same numbers."""
    side = capture.side
    pairs = []
    complete = set(raw_output_names(side)) <= set(capture.frames[0].heads)
    for frame in capture.frames:
        # The host's half: the program that turned outputs into poses.
        pairs.append((decoded_here(side, frame.outputs), frame.decoded))
        if complete and side.contract != "raw":  # the graph's half: from head outputs to outputs
            given = frame.beside or frame.outputs
            pairs.append((decoded_here(side, frame.heads, "raw"), decoded_here(side, given)))
    stage = _pose_stage(OWN_DECODING[name], pairs, side, DECODING, scale=1.0)
    if complete:
        return stage
    reason = side.missing or "no head outputs"
    return Stage(stage.name, None, stage.poses, stage.budget, stage.misses, f"{name}: {reason}")


def raw_output_names(side: Side) -> tuple[str, ...]:
    """Return the outputs of the head that decoding needs at least."""
    return tuple(f"{kind}_{stride}" for stride in side.strides for kind in _KINDS[:3])


def decoded_here(side: Side, outputs: dict[str, NDArray[Any]], contract: str = "") -> Poses:
    """Return the poses of a side's outputs in input pixels, decoded by this host."""
    return decode(
        outputs,
        contract or side.contract,
        in_input_pixels(side.input_size),
        side.strides,
        0.0,
        side.max_poses,
        side.nms,
    )


def pose_stages(
    side: Side, frames: Sequence[tuple[Frame, Frame]], budget: PoseBudget
) -> list[Stage]:
    """Compare poses in pixels of the input and in those of the picture."""
    decoded = [(a.decoded, b.decoded) for a, b in frames]
    poses = [(a.poses, b.poses) for a, b in frames]
    # A pixel of the source is so many of the input: the budget is the same place in the picture.
    scale = float(np.median([a.letterbox.scale for a, _ in frames]))
    return [
        _pose_stage(DECODED, decoded, side, budget, scale=1.0),
        _pose_stage(POSE_STAGE, poses, side, budget, scale=scale),
    ]


def _pose_stage(
    name: str, pairs: Iterable[tuple[Poses, Poses]], side: Side, budget: PoseBudget, scale: float
) -> Stage:
    sigmas = np.array(skeleton_named(side.skeleton).sigmas)
    found = pose_distance(pairs, side.score_threshold, sigmas)
    limits = asdict(budget)
    limits["px_median"] = budget.px_median / scale
    lost = found.only_a + found.only_b
    allowed = max(budget.lost * found.people, 1.0 if budget.lost else 0.0)
    misses = []
    for measure, unit, beyond in (
        ("px_median", "px", not found.px_median <= limits["px_median"]),
        ("oks_mean", "", not found.oks_mean >= budget.oks_mean),
        ("score_mean", "", not found.score_mean <= budget.score_mean),
    ):
        if beyond:
            least = "least" if measure == "oks_mean" else "most"
            misses.append(
                f"{_WORDS[measure]}: expected at {least} {limits[measure]:.3g} {unit}".rstrip()
                + f", got {getattr(found, measure):.4g} {unit}".rstrip()
            )
    if lost > allowed:
        misses.append(
            f"people on one side only: expected at most {allowed:.0f} of {found.people}, got {lost}"
        )
    return Stage(name, poses=found, budget=limits, misses=tuple(misses))


_WORDS = {
    "px_median": "median distance of keypoints",
    "oks_mean": "mean OKS",
    "score_mean": "mean difference of scores",
}
