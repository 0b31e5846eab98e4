"""From head outputs to keypoints in input pixels, inside the graph.

`erpose_edge.runtime.decode` is the numpy twin; a parity test ties the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from erpose_edge.network.plan import BOX_BINS, STRIDES

OFFSET_UNIT = 2.0  # offsets are counted in units of two strides: large people stay small numbers


def grid_points(input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the grid points of every level and their strides.

    Args:
        input_size: (height, width) in pixels, multiples of 32.

    Returns:
        Points (G, 2), x and y of cell centres in input pixels, level after level and row by row;
        strides (G,) in pixels.
    """
    points, strides = [], []
    for stride in STRIDES:
        height, width = input_size[0] // stride, input_size[1] // stride
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        points.append((torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * stride)
        strides.append(torch.full((height * width,), float(stride)))
    return torch.cat(points), torch.cat(strides)


def join_levels(levels: Sequence[Tensor]) -> Tensor:
    """Return per-level maps (B, C, H, W) as one (B, C, G)."""
    return torch.cat([level.flatten(2) for level in levels], 2)


def offsets_to_pixels(offsets: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Turn keypoint offsets into input pixels.

    Args:
        offsets: (B, G, K, 2) head outputs.
        points: (G, 2) or (B, G, 2), grid points in input pixels.
        strides: (G,) or (B, G), in pixels.

    Returns:
        Keypoints (B, G, K, 2), x and y in input pixels.
    """
    return offsets * (OFFSET_UNIT * strides)[..., None, None] + points[..., None, :]


def bins_to_boxes(bins: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Turn the logits of a box's sides into input pixels.

    A side lies at the mean of its distribution over distances of 0 to ``BOX_BINS`` - 1 strides.

    Ref: Li et al., "Generalized Focal Loss", 2020, https://arxiv.org/abs/2006.04388

    Args:
        bins: (B, G, 4, BOX_BINS) head outputs of left, top, right, bottom.
        points: (G, 2) or (B, G, 2), grid points in input pixels.
        strides: (G,) or (B, G), in pixels.

    Returns:
        Boxes x0, y0, x1, y1 in input pixels (B, G, 4).
    """
    steps = torch.arange(BOX_BINS, dtype=bins.dtype, device=bins.device)
    distances = (bins.softmax(-1) * steps).sum(-1) * strides[..., None]
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
