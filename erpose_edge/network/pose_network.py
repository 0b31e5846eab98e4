"""ER-Pose as a whole: the network that learns, and the one that is deployed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from erpose_edge.config import NetworkConfig
from erpose_edge.network.body import Neck, make_backbone
from erpose_edge.network.decode import (
    bins_to_boxes,
    grid_points,
    join_levels,
    offsets_to_pixels,
)
from erpose_edge.network.head import LevelOutputs, PoseHead
from erpose_edge.network.plan import BOX_BINS, STRIDES, plan_network
from erpose_edge.runtime import decode as host


@dataclass(frozen=True)
class Predictions:
    """What one branch predicts at every grid point.

    Attributes:
        scores: Logits (B, G).
        keypoints: x and y in input pixels (B, G, K, 2).
        visibility: Logits (B, G, K).
        boxes: x0, y0, x1, y1 in input pixels (B, G, 4); None without a box branch.
        bins: What the boxes were decoded from (B, G, 4, BOX_BINS), logits of the distances of
            left, top, right and bottom; None without a box branch.
    """

    scores: Tensor
    keypoints: Tensor
    visibility: Tensor
    boxes: Tensor | None = None
    bins: Tensor | None = None


class ERPose(nn.Module):
    """Single-stage multi-person pose network; boxes only for the box-driven baseline.

    Ref: "ER-Pose", 2026, https://arxiv.org/abs/2603.08681 (abstract; the layout here is ours).
    """

    def __init__(self, network: NetworkConfig, keypoints: int) -> None:
        super().__init__()
        self.config = network
        self.plan = plan_network(network, keypoints)
        activation = network.activation
        self.backbone = make_backbone(self.plan, activation=activation)
        self.neck = Neck(self.plan, activation=activation)
        self.head = PoseHead(self.plan, activation=activation)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the neck's features at strides 8, 16, 32 for images (B, 3, H, W) in [0, 1]."""
        return self.neck(self.backbone(images))

    def forward(self, images: Tensor) -> LevelOutputs:
        """Return the deployed branch: scores, keypoints, visibility (and boxes) per level."""
        return self.head(self.features(images))


def predictions(levels: LevelOutputs, input_size: tuple[int, int]) -> Predictions:
    """Join the levels of one branch and decode its keypoints and boxes, in float32.

    Args:
        levels: Scores, keypoints, visibility and perhaps boxes, a tensor per level each.
        input_size: (height, width) of the images, in pixels.
    """
    scores, offsets, visibility, *boxes = (join_levels(kind).float() for kind in levels)
    points, strides = (t.to(scores.device) for t in grid_points(input_size))
    batch, channels, count = offsets.shape
    offsets = offsets.transpose(1, 2).reshape(batch, count, channels // 2, 2)
    bins = boxes[0].transpose(1, 2).reshape(batch, count, 4, BOX_BINS) if boxes else None
    return Predictions(
        scores=scores.squeeze(1),
        keypoints=offsets_to_pixels(offsets, points, strides),
        visibility=visibility.transpose(1, 2),
        boxes=None if bins is None else bins_to_boxes(bins, points, strides),
        bins=bins,
    )


def output_names(contract: str, *, boxes: bool = False) -> tuple[str, ...]:
    """Return the names of the deployed network's outputs, in order."""
    return host.output_names(contract, STRIDES, boxes=boxes)


class DeployNetwork(nn.Module):
    """The deployed branch of an `ERPose` behind one output contract.

    ``raw``: the head outputs of every level, to be decoded by the host. ``decoded``: every grid
    point, scores and visibility in [0, 1], keypoints and boxes in input pixels. ``compact``: the
    best ``max_poses`` of those by score, picked in the graph with TopK and Gather.
    """

    points: Tensor
    strides: Tensor

    def __init__(
        self, network: nn.Module, contract: str, input_size: tuple[int, int], max_poses: int = 30
    ) -> None:
        super().__init__()
        self.network = network
        self.contract = contract
        points, strides = grid_points(input_size)
        self.max_poses = min(max_poses, len(points))
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        boxes = any(name == "head.boxes" for name, _ in self.network.named_modules())
        return output_names(self.contract, boxes=boxes)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the contract's outputs for RGB images (B, 3, H, W) in [0, 1]."""
        levels = self.network(images)
        if self.contract == "raw":
            return tuple(kind[i] for i in range(len(STRIDES)) for kind in levels)
        scores, *others = (join_levels(kind) for kind in levels)
        scores, points, strides = scores.squeeze(1), self.points, self.strides
        if self.contract == "compact":
            # Rank logits: TopK before Sigmoid keeps the order where probabilities saturate.
            scores, best = scores.topk(self.max_poses, 1)
            every = best[:, None]
            others = [kind.gather(2, every.expand(-1, kind.shape[1], -1)) for kind in others]
            points, strides = points[best], strides[best]
        offsets, visibility, *boxes = (kind.transpose(1, 2) for kind in others)
        offsets = offsets.reshape(offsets.shape[0], offsets.shape[1], -1, 2)
        decoded = (
            scores.sigmoid(),
            offsets_to_pixels(offsets, points, strides),
            visibility.sigmoid(),
        )
        if not boxes:
            return decoded
        bins = boxes[0].reshape(*boxes[0].shape[:2], 4, BOX_BINS)
        return *decoded, bins_to_boxes(bins, points, strides)
