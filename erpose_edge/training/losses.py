"""Losses of one branch: score, smooth OKS, visibility. All in float32, also under autocast.

The smooth OKS loss is ours where the paper's formula is not public: 1 - OKS vanishes for a
keypoint more than four sigmas away, so a logarithm takes over where it ends:

    L = (1 - OKS) + smooth * mean over labelled keypoints of log(1 + (r / 2)^6) / 3,
    r = d / (s * k)

with d the distance in pixels, s^2 the person's area and k = 2 sigma. Per keypoint:

- for r <= 1 it is 1 - OKS, within 0.0052 * smooth (the difference begins with r^6);
- for r >= 2 its slope is at least smooth / r, and comes close to 2 * smooth / r;
- its slope is nowhere more than 0.6066 + 0.6373 * smooth.
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

_REACH = 2.0  # r at which the logarithm takes over: the slope of 1 - OKS is past its peak there


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
    """Return the smooth OKS loss of matched people, in float32 or finer.

    Args:
        predicted: x and y in input pixels (P, K, 2).
        target: Labelled keypoints, same shape and frame.
        labelled: True where a keypoint counts (P, K).
        areas: Square input pixels (P,), positive.
        sigmas: (K,).
        smooth: Weight of the logarithm; 0 gives 1 - OKS.

    Returns:
        (P,), 0 for people without a labelled keypoint.
    """
    precise = torch.promote_types(predicted.dtype, torch.float32)
    difference = predicted.to(precise) - target.to(precise)
    squared = torch.where(labelled[..., None], difference, 0.0).square().sum(-1)
    r_squared = squared / (areas[:, None] * (2 * sigmas).square())
    per_keypoint = 1 - (-r_squared / 2).exp() + smooth * _far_logarithm(r_squared)
    return (per_keypoint * labelled).sum(-1) / labelled.sum(-1).clamp(min=1)


def _far_logarithm(r_squared: Tensor) -> Tensor:
    """Return log(1 + (r / 2)^6) / 3 of r^2, factored so that no sixth power overflows."""
    u = r_squared / _REACH**2
    return (u.log1p() + (u * (u - 1)).log1p()) / 3  # 1 + u^3 = (1 + u) (1 - u + u^2)


def branch_loss(
    predictions: Predictions,
    assignment: Assignment,
    people: People,
    sigmas: Tensor,
    smooth: float,
    normaliser: Callable[[Tensor], Tensor],
) -> BranchLoss:
    """Return the losses of one branch.

    Args:
        predictions: What the branch predicts.
        assignment: What it is to learn.
        people: Labels.
        sigmas: (K,).
        smooth: See `smooth_oks_loss`.
        normaliser: Turns this process's totals into what losses are divided by: see
            `Processes.normaliser`.

    Returns:
        Score: binary cross-entropy against the soft target, per unit of target. Pose and
        visibility: weighted means over positive grid points. With nobody in the batch they are
        0 and still have a gradient.
    """
    image, point = assignment.positive.nonzero(as_tuple=True)
    person = assignment.person[image, point]
    weight = assignment.weight[image, point]
    score_total, weight_total = normaliser(torch.stack([assignment.score.sum(), weight.sum()]))

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
