"""How far two sides may be apart at each stage, by the precisions that meet.

The numbers are floors and ceilings, set from what sound exports of trained networks differ by, with
room to spare (docs/parity.md says how): a stage within them does not prove that nothing is wrong,
one below them does prove that something is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from erpose_edge.validate.parity.capture import Side

EXACT, HALF, TWINS, INT8 = "fp32", "fp16", "int8 of the same weights", "int8"

# Decibels, whatever the precision. Decoders of JPEG and builds of cv2 round differently by one
# step of 255, which costs 45 to 50 dB of a photograph.
PICTURE_SNR_DB = 40.0
INPUT_SNR_DB = 40.0

# Least signal over noise of the stages inside the network, decibels. Keypoints and visibility of
# the head count where the best poses come from: elsewhere nobody taught them anything.
SNR_DB = {
    EXACT: {"stem": 80.0, "features": 60.0, "scores": 60.0, "others": 60.0},
    HALF: {"stem": 45.0, "features": 30.0, "scores": 30.0, "others": 30.0},
    TWINS: {"stem": 25.0, "features": 10.0, "scores": 10.0, "others": 10.0},
    INT8: {"stem": 20.0, "features": 2.0, "scores": 6.0, "others": 2.0},
}
# What is expected at best, decibels: falling from above it down to it says nothing of a layer.
CEILING_DB = {EXACT: 100.0, HALF: 60.0, TWINS: 35.0, INT8: 30.0}
# A layer below the first number that falls by the second below those that it reads is wrong by
# itself, decibels: a scale that is wrong by a factor of two leaves 0 to 6 dB.
ABRUPT_DB = {EXACT: (60.0, 20.0), HALF: (30.0, 12.0), TWINS: (12.0, 8.0), INT8: (7.0, 8.0)}


@dataclass(frozen=True)
class PoseBudget:
    """What poses have to keep.

    Attributes:
        px_median: Largest median distance of a keypoint, in pixels of the network's input.
        oks_mean: Smallest mean OKS, the other side taken for the truth.
        score_mean: Largest mean difference of scores.
        lost: Largest share of people whom only one side has; one person is always allowed
            where it is above 0.
    """

    px_median: float
    oks_mean: float
    score_mean: float
    lost: float


POSES = {
    EXACT: PoseBudget(0.05, 0.999, 0.001, 0.0),
    HALF: PoseBudget(0.5, 0.98, 0.02, 0.05),
    TWINS: PoseBudget(1.0, 0.95, 0.05, 0.1),
    INT8: PoseBudget(3.0, 0.85, 0.15, 0.25),
}
# What a side's own head outputs give when this host decodes them, against what the side gave.
DECODING = PoseBudget(0.05, 0.999, 0.001, 0.0)


def pair_of(a: Side, b: Side) -> str:
    """Return which kind of precisions meet, a key of the tables above."""
    precisions = {a.precision, b.precision}
    if precisions == {"int8"} and a.weights_sha256 and a.weights_sha256 == b.weights_sha256:
        return TWINS
    if "int8" in precisions:
        return INT8
    return HALF if "fp16" in precisions else EXACT
