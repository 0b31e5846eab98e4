"""Say in words what a comparison found: the first stage that diverges, why, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from erpose_edge.validate.parity.budget import EXACT, INPUT_SNR_DB, TWINS
from erpose_edge.validate.parity.layer_distance import is_abrupt, layer_of, layers_behind
from erpose_edge.validate.parity.measures import array_distance
from erpose_edge.validate.parity.stages import (
    DECODED,
    INPUT,
    OWN_DECODING,
    PICTURE,
    POSE_STAGE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from erpose_edge.validate.parity.capture import Capture
    from erpose_edge.validate.parity.compare import Comparison
    from erpose_edge.validate.parity.layer_distance import LayerDistance
    from erpose_edge.validate.parity.stages import Stage

SOURCE, PREPROCESSING, PRECISION, DECODING, UNDECIDED = (
    "source",
    "preprocessing",
    "precision",
    "decoding",
    "undecided",
)
_BETTER_DB = 10.0  # another reading of B that explains it is so much nearer
_MOVED_PX = 0.1  # input pixels
_SURE = 0.1  # of the response of phase correlation, in [0, 1]


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        stage: The first stage beyond its budget; None at parity.
        kind: "source", "preprocessing", "precision", "decoding" or "undecided"; None at parity.
        side: "A" or "B" where one side alone is at fault, else None.
        layer: The layer that loses most on the way to the stage, or None.
        cause: What was seen, one sentence.
        advice: What to do next, one sentence.
        notes: What else is worth knowing.
    """

    stage: str | None
    kind: str | None
    side: str | None
    layer: str | None
    cause: str
    advice: str
    notes: tuple[str, ...]

    @property
    def parity(self) -> bool:
        """True where no stage is beyond its budget."""
        return self.stage is None

    def to_json(self) -> dict[str, Any]:
        """Return the ``verdict`` of ``schemas/parity.json``."""
        return {"parity": self.parity, **asdict(self)}

    def __str__(self) -> str:
        if self.parity:
            return f"parity: {self.cause}"
        return f"first divergence: {self.stage} ({self.kind}): {self.cause}; next: {self.advice}"


def judge(comparison: Comparison, a: Capture, b: Capture) -> Verdict:
    """Return the verdict on a comparison of captures ``a`` and ``b``."""
    first = comparison.first
    notes = _notes(comparison)
    if first is None:
        cause = (
            f"no stage of {comparison.pictures} pictures is beyond the budget of {comparison.pair}"
        )
        return Verdict(None, None, None, None, cause, "nothing", notes)
    if first.name == PICTURE:
        cause = first.misses[0]
        return Verdict(first.name, SOURCE, None, None, cause, _ADVICE[SOURCE], notes)
    if first.name == INPUT:
        cause = _why_inputs_differ(a, b)
        return Verdict(first.name, PREPROCESSING, None, None, cause, _ADVICE[PREPROCESSING], notes)
    if layer_of(first.name, a.side.strides):
        return _precision(comparison, first, notes)
    if first.name in OWN_DECODING.values():
        side = first.name[-1]
        cause = f"{side} does not give what its own head outputs mean: {first.misses[0]}"
        return Verdict(first.name, DECODING, side, None, cause, _ADVICE[DECODING], notes)
    return _behind_the_head(comparison, first, notes)


_ADVICE = {
    SOURCE: "compare the files, or run one side on the pictures of the other's dump (--input)",
    PREPROCESSING: "make both sides prepare pictures as erpose_edge.runtime.preprocess does",
    PRECISION: "look at the scales of this layer, or name it in the policy's keep_float",
    DECODING: "compare the side's decoding with erpose_edge.runtime.decode",
    UNDECIDED: "export this side with the contract raw, whose outputs are those of the head",
}


def _precision(comparison: Comparison, first: Stage, notes: tuple[str, ...]) -> Verdict:
    worst = _worst_layer(comparison, layer_of(first.name, comparison.a.strides))
    if worst is None:
        cause, layer, advice = first.misses[0], None, _ADVICE[PRECISION]
    else:
        layer = worst.name
        fall = f"{layer} falls from {worst.before_db:.1f} to {worst.distance.snr_db:.1f} dB"
        if is_abrupt(worst, comparison.pair):
            cause, advice = f"one layer is wrong by itself: {fall}", _ADVICE[PRECISION]
        else:
            cause = f"noise grows layer by layer, the most where {fall}"
            advice = "train longer with fake-quantization, or name this layer in keep_float"
        if comparison.pair == EXACT:
            advice = "export both sides from the same weights; fp32 has no other reason to differ"
    return Verdict(first.name, PRECISION, None, layer, cause, advice, notes)


def _worst_layer(comparison: Comparison, end: str) -> LayerDistance | None:
    """Return the layer behind ``end`` that is wrong by itself, or else falls the most."""
    behind = layers_behind(end, comparison.inputs)
    layers = [layer for layer in comparison.layers if layer.name in behind]
    abrupt = [layer for layer in layers if is_abrupt(layer, comparison.pair)]
    if abrupt or not layers:
        return abrupt[0] if abrupt else None
    return max(layers, key=lambda layer: layer.drop_db)


def _behind_the_head(comparison: Comparison, first: Stage, notes: tuple[str, ...]) -> Verdict:
    """Judge poses that differ where nothing before them does."""
    if first.name == POSE_STAGE:
        cause = f"poses are alike in the input and differ in the picture: {first.misses[0]}"
        advice = "compare the mapping back with Letterbox.to_source, and the number of poses"
        return Verdict(first.name, DECODING, None, None, cause, advice, notes)
    blind = [stage.name[-1] for stage in comparison.stages if _unchecked(stage)]
    if blind:
        side = blind[0] if len(blind) == 1 else None
        where = " and ".join(blind)
        cause = f"{first.misses[0]}; nothing between input and outputs of {where} can be seen"
        return Verdict(first.name, UNDECIDED, side, None, cause, _ADVICE[UNDECIDED], notes)
    if comparison.pair == EXACT:
        cause = f"equal head outputs are decoded to other poses: {first.misses[0]}"
        return Verdict(first.name, DECODING, None, None, cause, _ADVICE[DECODING], notes)
    # Either side decodes its own head outputs rightly, so the numbers differ, not the decoding.
    cause = f"each side decodes its own head outputs rightly, but they differ: {first.misses[0]}"
    advice = "train longer with fake-quantization, or compare AP: a few pictures prove little"
    return Verdict(first.name, PRECISION, None, None, cause, advice, notes)


def _unchecked(stage: Stage) -> bool:
    return stage.name in OWN_DECODING.values() and stage.ok is None


def _notes(comparison: Comparison) -> tuple[str, ...]:
    a, b = comparison.a, comparison.b
    notes = []
    if a.weights_sha256 and b.weights_sha256 and a.weights_sha256 != b.weights_sha256:
        notes.append(
            f"other weights: A {a.weights_sha256[:12]}, B {b.weights_sha256[:12]}; what they "
            "differ by counts as divergence"
        )
    for stage in comparison.stages:
        if stage.missing and stage.name not in (DECODED, POSE_STAGE):
            notes.append(f"not compared: {stage.name}: {stage.missing}")
    found = comparison.stage(POSE_STAGE).poses
    if found is not None and not found.people:
        notes.append("nobody was found: the poses prove nothing")
    if comparison.pair == TWINS:
        notes.append("int8 of one network: what differs is the engine's rounding")
    return tuple(dict.fromkeys(notes))


def _why_inputs_differ(a: Capture, b: Capture) -> str:
    """Name what was done to the pictures of B, as far as the numbers tell."""
    pairs = [(x.images, y.images) for x, y in zip(a.frames, b.frames)]
    plain = array_distance(pairs).snr_db
    reasons = []
    turned = array_distance((x, y[:, ::-1]) for x, y in pairs).snr_db
    if turned >= plain + _BETTER_DB:
        reasons.append("channels are in the other order (BGR for RGB)")
    fitted = _fit(pairs)
    if fitted is not None:
        reasons.append(fitted)
    boxes = {(f.letterbox.scale_x, f.letterbox.pad_x, f.letterbox.pad_y) for f in a.frames}
    others = {(f.letterbox.scale_x, f.letterbox.pad_x, f.letterbox.pad_y) for f in b.frames}
    if boxes != others:
        ours, theirs = a.frames[0].letterbox, b.frames[0].letterbox
        reasons.append(
            f"letterbox: A scales by {ours.scale:.4f} and pads {ours.pad_x}, {ours.pad_y} px, "
            f"B by {theirs.scale:.4f} and {theirs.pad_x}, {theirs.pad_y} px"
        )
    elif not reasons:
        reasons.append(_movement(pairs) or "pixels differ (interpolation, padding or rounding)")
    return f"SNR {plain:.1f} dB; " + ", ".join(reasons)


def _fit(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> str | None:
    """Say by which numbers B's values follow from A's, where they do."""
    ours = np.concatenate([x.ravel() for x, _ in pairs]).astype(np.float64)
    theirs = np.concatenate([y.ravel() for _, y in pairs]).astype(np.float64)
    if not np.isfinite(theirs).all() or not ours.var() or not theirs.var():
        return None
    gain = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean() / ours.var())
    shift = float(theirs.mean() - gain * ours.mean())
    if not gain or array_distance([(ours, (theirs - shift) / gain)]).snr_db < INPUT_SNR_DB:
        return None
    return f"values of B are {gain:.3g} times those of A plus {shift:.3g}"


def _movement(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> str | None:
    """Say how far the picture lies from where it is in A, where that is clear."""
    ours, theirs = (image[0].mean(axis=0).astype(np.float64) for image in pairs[0])
    window = cv2.createHanningWindow(ours.shape[::-1], cv2.CV_64F)
    (x, y), response = cv2.phaseCorrelate(ours - ours.mean(), theirs - theirs.mean(), window)
    if response < _SURE or max(abs(x), abs(y)) < _MOVED_PX:
        return None
    return f"the picture lies {x:+.2f}, {y:+.2f} px from where it is in A (letterbox)"
