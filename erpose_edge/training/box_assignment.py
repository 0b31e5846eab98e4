"""Box-driven assignment, of the baseline: IoU with the person's box stands where OKS does.

Ref: task alignment: Feng et al., "TOOD", 2021, https://arxiv.org/abs/2108.07755. Ranking in log
space, claims and conflicts are those of the keypoint-driven assignment, so that the two differ in
nothing but the metric and the candidates.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.assignment import FORBIDDEN, Assignment, AssignmentRule, claim, inside
from erpose_edge.training.box_losses import intersection_over_union
from erpose_edge.training.people import People

_SMALLEST_IOU = 1e-9  # its logarithm is finite
_NOWHERE = 1e9  # pixels: outside every picture
# The body reaches beyond its keypoints; also, a rectangle around one keypoint would have no area.
_MARGIN = 0.1  # person sizes


@torch.no_grad()
def assign_by_boxes(
    predictions: Predictions, people: People, points: Tensor, rule: AssignmentRule
) -> Assignment:
    """Give every person the best grid points inside its box.

    Args:
        predictions: One branch's scores and poses, float32. Where it has no boxes, rectangles
            around keypoints stand for them, around the person's labelled ones on both sides.
        people: Labels.
        points: Grid points (G, 2) in input pixels.
        rule: Top-k, and weights of score and IoU; there is no prior.

    Returns:
        Targets of every grid point.
    """
    if predictions.boxes is None:
        overlap = _overlap_of_keypoints(predictions.keypoints, people)
    else:
        ours, theirs = predictions.boxes[:, None], people.boxes[:, :, None]
        overlap = intersection_over_union(ours, theirs)
    quality = overlap.clamp(_SMALLEST_IOU, 1).log()
    metric = rule.alpha * functional.logsigmoid(predictions.scores)[:, None] + rule.beta * quality
    metric.masked_fill_(~inside(points, people.boxes), FORBIDDEN)
    return claim(metric, quality, people, points, replace(rule, prior=0.0))


def _overlap_of_keypoints(keypoints: Tensor, people: People) -> Tensor:
    """Return the IoU (B, N, G) of rectangles around keypoints (B, G, K, 2) and around labels.

    One keypoint is added at a time, so memory is (B, N, G) whatever K is.
    """
    margin = _MARGIN * people.areas.sqrt()[:, :, None, None]  # (B, N, 1, 1)
    batch, most = people.present.shape
    low = keypoints.new_full((batch, most, keypoints.shape[1], 2), _NOWHERE)
    high = -low
    for k in range(keypoints.shape[2]):
        unlabelled = ~people.labelled[:, :, None, k, None]  # (B, N, 1, 1)
        ours = keypoints[:, None, :, k]  # (B, 1, G, 2)
        low = torch.minimum(low, torch.where(unlabelled, _NOWHERE, ours))
        high = torch.maximum(high, torch.where(unlabelled, -_NOWHERE, ours))
    unlabelled = ~people.labelled[..., None]
    theirs_low = people.keypoints.masked_fill(unlabelled, _NOWHERE).amin(2)[:, :, None]
    theirs_high = people.keypoints.masked_fill(unlabelled, -_NOWHERE).amax(2)[:, :, None]
    return intersection_over_union(
        torch.cat([low - margin, high + margin], -1),
        torch.cat([theirs_low - margin, theirs_high + margin], -1),
    )
