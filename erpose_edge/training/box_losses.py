"""Losses of predicted boxes, of the baseline: CIoU, and distribution focal loss of the sides.

Ref: CIoU: Zheng et al., "Distance-IoU Loss", 2019, https://arxiv.org/abs/1911.08287; sides as
distributions: Li et al., "Generalized Focal Loss", 2020, https://arxiv.org/abs/2006.04388
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from erpose_edge.training.assignment import Assignment
from erpose_edge.training.people import People

_TINY = 1e-7  # square pixels
_THIN = 1e-3  # pixels: a side counts as no shorter in the aspect ratio
_LAST = 0.01  # the last bin is kept this far off, so that there is always a next one


@dataclass(frozen=True)
class BoxLoss:
    """The two losses of one branch's boxes, scalars that carry gradients."""

    box: Tensor
    dfl: Tensor


def intersection_over_union(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of boxes x0, y0, x1, y1 (..., 4), broadcast; 0 for two without an area."""
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    shared = sides.prod(-1)
    return shared / (_area(a) + _area(b) - shared).clamp(min=_TINY)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the CIoU of boxes (P, 4) each: at most 1, below 0 for boxes far apart.

    IoU, less the squared distance of the centres over the squared diagonal of the box around both,
    less the difference of the aspect ratios, weighed by how well they overlap.
    """
    overlap = intersection_over_union(a, b)
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    shape = (4 / math.pi**2) * (_aspect(a) - _aspect(b)).square()
    with torch.no_grad():
        weight = shape / (1 - overlap + shape).clamp(min=_TINY)
    return overlap - apart / around.square().sum(-1).clamp(min=_TINY) - weight * shape


def distribution_focal_loss(bins: Tensor, distances: Tensor) -> Tensor:
    """Return the cross-entropy that draws a distribution to the two bins around a distance.

    Args:
        bins: Logits (P, 4, BINS) of the distances 0, 1, ... of the sides.
        distances: Of the labelled sides (P, 4), in bins; beyond the ends they count as the end.

    Returns:
        (P,), the mean over the sides.
    """
    distances = distances.clamp(0, bins.shape[-1] - 1 - _LAST)
    lower = distances.floor()
    share = distances - lower  # of the upper bin
    log_share = functional.log_softmax(bins, -1)
    below = log_share.gather(-1, lower.long()[..., None]).squeeze(-1)
    above = log_share.gather(-1, lower.long()[..., None] + 1).squeeze(-1)
    return -((1 - share) * below + share * above).mean(-1)


def box_loss(
    boxes: Tensor,
    bins: Tensor,
    assignment: Assignment,
    people: People,
    grid: tuple[Tensor, Tensor],
    normaliser: Callable[[Tensor], Tensor],
) -> BoxLoss:
    """Return the losses of one branch's boxes.

    Args:
        boxes: Predicted x0, y0, x1, y1 in input pixels (B, G, 4).
        bins: What they were decoded from (B, G, 4, BINS), logits.
        assignment: What the branch is to learn.
        people: Labels.
        grid: Grid points (G, 2) and their strides (G,), in input pixels.
        normaliser: See `erpose_edge.training.losses.branch_loss`.

    Returns:
        Weighted means over positive grid points, weighed as the pose loss is.
    """
    image, point = assignment.positive.nonzero(as_tuple=True)
    weight = assignment.weight[image, point]
    (total,) = normaliser(weight.sum()[None])
    labelled = people.boxes[image, assignment.person[image, point]]
    place, stride = grid[0][point], grid[1][point, None]
    sides = torch.cat([place - labelled[:, :2], labelled[:, 2:] - place], -1) / stride
    ciou = complete_iou(boxes[image, point], labelled)
    dfl = distribution_focal_loss(bins[image, point], sides)
    return BoxLoss(((1 - ciou) * weight).sum() / total, (dfl * weight).sum() / total)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(0).prod(-1)


def _aspect(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(_THIN).unbind(-1)
    return torch.atan(width / height)
