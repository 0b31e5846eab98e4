"""ER-Pose as a whole: the network that learns, and the one that is deployed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from erpose_edge.network.body import Backbone, Neck
from erpose_edge.network.decode import grid_points, join_levels, offsets_to_pixels
from erpose_edge.network.head import LevelOutputs, PoseHead
from erpose_edge.network.plan import STRIDES, plan_network
from erpose_edge.runtime import decode as host


@dataclass(frozen=True)
class Predictions:
    """What one branch predicts at every grid point.

    Attributes:
        scores: Logits (B, G).
        keypoints: x and y in input pixels (B, G, K, 2).
        visibility: Logits (B, G, K).
    """

    scores: Tensor
    keypoints: Tensor
    visibility: Tensor


class ERPose(nn.Module):
    """Single-stage multi-person pose network without box prediction.

    Ref: "ER-Pose", 2026, https://arxiv.org/abs/2603.08681 (abstract; the layout here is ours).
    """

    def __init__(self, scale: str, activation: str, keypoints: int) -> None:
        super().__init__()
        self.plan = plan_network(scale, keypoints)
        self.activation = activation
        self.backbone = Backbone(self.plan, activation=activation)
        self.neck = Neck(self.plan, activation=activation)
        self.head = PoseHead(self.plan, activation=activation)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the neck's features at strides 8, 16, 32 for images (B, 3, H, W) in [0, 1]."""
        return self.neck(self.backbone(images))

    def forward(self, images: Tensor) -> LevelOutputs:
        """Return the deployed (one-to-one) branch: scores, keypoints, visibility per level."""
        return self.head(self.features(images))


def predictions(levels: LevelOutputs, input_size: tuple[int, int]) -> Predictions:
    """Join the levels of one branch and decode its keypoints, in float32.

    Args:
        levels: Scores, keypoints and visibility, a tensor per level each.
        input_size: (height, width) of the images, in pixels.
    """
    scores, offsets, visibility = (join_levels(kind).float() for kind in levels)
    points, strides = (t.to(scores.device) for t in grid_points(input_size))
    batch, channels, count = offsets.shape
    offsets = offsets.transpose(1, 2).reshape(batch, count, channels // 2, 2)
    return Predictions(
        scores=scores.squeeze(1),
        keypoints=offsets_to_pixels(offsets, points, strides),
        visibility=visibility.transpose(1, 2),
    )


def output_names(contract: str) -> tuple[str, ...]:
    """Return the names of the deployed network's outputs, in order."""
    return host.output_names(contract, STRIDES)


class DeployNetwork(nn.Module):
    """The one-to-one branch of an `ERPose` behind one output contract.

    ``raw``: the head outputs of every level, to be decoded by the host. ``decoded``: every grid
    point, scores and visibility in [0, 1], keypoints in input pixels. ``compact``: the best
    ``max_poses`` of those by score, picked in the graph with TopK and Gather.
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

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the contract's outputs for RGB images (B, 3, H, W) in [0, 1]."""
        levels = self.network(images)
        if self.contract == "raw":
            return tuple(kind[i] for i in range(len(STRIDES)) for kind in levels)
        scores, offsets, visibility = (join_levels(kind) for kind in levels)
        scores, points, strides = scores.squeeze(1), self.points, self.strides
        if self.contract == "compact":
            # Rank logits: TopK before Sigmoid keeps the order where probabilities saturate.
            scores, best = scores.topk(self.max_poses, 1)
            every = best[:, None]
            offsets = offsets.gather(2, every.expand(-1, offsets.shape[1], -1))
            visibility = visibility.gather(2, every.expand(-1, visibility.shape[1], -1))
            points, strides = points[best], strides[best]
        offsets = offsets.transpose(1, 2)
        offsets = offsets.reshape(offsets.shape[0], offsets.shape[1], -1, 2)
        keypoints = offsets_to_pixels(offsets, points, strides)
        return scores.sigmoid(), keypoints, visibility.transpose(1, 2).sigmoid()
