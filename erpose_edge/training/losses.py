"""Losses of one branch: score, smooth OKS, visibility. All in float32, also under autocast.

The smooth OKS loss is ours where the paper's formula is not public: 1 - OKS vanishes for a
keypoint more than four sigmas away, so a logarithmic term keeps a bounded, never vanishing pull:

    L = (1 - OKS) + smooth * mean over labelled keypoints of log(1 + r^2 / 2),   r = d / (s * k)

with d the distance in pixels, s^2 the person's area and k = 2 sigma. Near the target the first
term rules (its gradient at r = 1 is 0.61 against 0.67 * smooth); far away the second does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.assignment import Assignment
from erpose_edge.training.people import People


@dataclass(frozen=True)
class BranchLoss:
    """The three losses of one branch, scalars that carry gradients."""

    score: Tensor
    pose: Tensor
    visibility: Tensor


def smooth_oks_loss(
    predicted: Tensor,
    target: Tensor,
    labelled: Tensor,
    areas: Tensor,
    sigmas: Tensor,
    smooth: float,
) -> Tensor:
    """Return the smooth OKS loss of matched people.

    Args:
        predicted: x and y in input pixels (P, K, 2).
        target: Labelled keypoints, same shape and frame.
        labelled: True where a keypoint counts (P, K).
        areas: Square input pixels (P,), positive.
        sigmas: (K,).
        smooth: Weight of the logarithmic term; 0 gives 1 - OKS.

    Returns:
        (P,), 0 for people without a labelled keypoint.
    """
    difference = torch.where(labelled[..., None], predicted.float() - target.float(), 0.0)
    half_r_squared = difference.square().sum(-1) / (2 * areas[:, None] * (2 * sigmas).square())
    per_keypoint = 1 - (-half_r_squared).exp() + smooth * half_r_squared.log1p()
    return (per_keypoint * labelled).sum(-1) / labelled.sum(-1).clamp(min=1)


def branch_loss(
    predictions: Predictions,
    assignment: Assignment,
    people: People,
    sigmas: Tensor,
    smooth: float,
    mean_over_processes: Callable[[Tensor], Tensor],
) -> BranchLoss:
    """Return the losses of one branch.

    Args:
        predictions: What the branch predicts.
        assignment: What it is to learn.
        people: Labels.
        sigmas: (K,).
        smooth: See `smooth_oks_loss`.
        mean_over_processes: Averages a normaliser over the processes of a distributed run, so
            that the loss is the one of the global batch.

    Returns:
        Score: binary cross-entropy against the soft target, per unit of target. Pose and
        visibility: weighted means over positive grid points. With nobody in the batch they are
        0 and still have a gradient.
    """
    image, point = assignment.positive.nonzero(as_tuple=True)
    person = assignment.person[image, point]
    weight = assignment.weight[image, point]
    totals = mean_over_processes(torch.stack([assignment.score.sum(), weight.sum()]))
    score_total, weight_total = totals.clamp(min=1.0)

    entropy = functional.binary_cross_entropy_with_logits(
        predictions.scores, assignment.score, reduction="none"
    )
    score = (entropy * assignment.counted).sum() / score_total

    pose = smooth_oks_loss(
        predictions.keypoints[image, point],
        people.keypoints[image, person],
        people.labelled[image, person],
        people.areas[image, person],
        sigmas,
        smooth,
    )
    known = people.visibility_known[image, person]
    entropy = functional.binary_cross_entropy_with_logits(
        predictions.visibility[image, point], people.visible[image, person], reduction="none"
    )
    visibility = (entropy * known).sum(-1) / known.sum(-1).clamp(min=1)
    return BranchLoss(
        score=score,
        pose=(pose * weight).sum() / weight_total,
        visibility=(visibility * weight).sum() / weight_total,
    )
