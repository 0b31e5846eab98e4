"""How far a network's answers moved: in OKS, and in signal to noise at the head's outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from erpose_edge.metrics.label_entries import MASK_PER_BOX
from erpose_edge.metrics.oks import similarity
from erpose_edge.network.head import LevelOutputs
from erpose_edge.runtime.poses import Poses

KINDS = ("scores", "keypoints", "visibility", "boxes")  # of the head's outputs, in their order
# Counterparts differ by at most this factor in score: a person who is hardly found is lost.
SCORE_RATIO = 2.0


def pose_shift(
    reference: Poses, other: Poses, sigmas: NDArray[np.float64], least: float
) -> tuple[float, float]:
    """Return how much of two sets of poses of one image is lost in each other, and of how much.

    Every pose, of either set, looks for its most similar counterpart in the other one; what its
    OKS lacks to 1 is lost, and counts by its score. A counterpart has at least half and at most
    twice the score. The area of a person is that of the box around the keypoints, times the share
    that COCO's masks have of boxes.

    Args:
        reference: Of the network to compare with; its poses give the areas.
        other: Of the changed network.
        sigmas: Of the skeleton, (K,).
        least: Poses with a lower score do not look for one, but can be one.

    Returns:
        Lost score and total score; their ratio, over many images, is the OKS that is lost.
    """
    weight, changed_weight = (np.where(p.scores >= least, p.scores, 0) for p in (reference, other))
    total = float(weight.sum() + changed_weight.sum())
    if not len(reference) or not len(other):
        return total, total
    points, others = (poses.keypoints.astype(np.float64) for poses in (reference, other))
    sides = points.max(1) - points.min(1)
    areas = MASK_PER_BOX * sides.prod(1)
    distance_sq = np.square(points[:, None] - others[None]).sum(-1)  # (D, E, K)
    close = similarity(distance_sq, areas[:, None, None], sigmas).mean(-1)
    scores, changed = reference.scores[:, None], other.scores[None]
    close[(changed > SCORE_RATIO * scores) | (scores > SCORE_RATIO * changed)] = 0.0
    kept = weight @ close.max(1) + changed_weight @ close.max(0)
    return max(total - float(kept), 0.0), total


def output_power(levels: LevelOutputs) -> NDArray[np.float64]:
    """Return the summed squared deviation of each kind of outputs from its channels' means.

    Args:
        levels: (B, C, h, w) for every kind and level.

    Returns:
        One number a kind.
    """
    return np.array([sum(_deviation(level) for level in kind) for kind in levels], np.float64)


def output_noise(levels: LevelOutputs, reference: LevelOutputs) -> NDArray[np.float64]:
    """Return the summed squared difference of each kind of outputs; see `output_power`."""
    return np.array(
        [
            sum(float((a - b).double().square().sum()) for a, b in zip(kind, other, strict=True))
            for kind, other in zip(levels, reference, strict=True)
        ],
        np.float64,
    )


def decibels(power: Sequence[float], noise: Sequence[float]) -> dict[str, float | None]:
    """Return the signal to noise ratio of each kind in dB; None where there is no noise."""
    return {
        kind: round(10 * math.log10(max(p, 1e-300) / n), 2) if n > 0 else None
        for kind, p, n in zip(KINDS, power, noise, strict=False)
    }


def _deviation(level: Tensor) -> float:
    values = level.double()
    return float((values - values.mean((0, 2, 3), keepdim=True)).square().sum())
