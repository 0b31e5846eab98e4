"""Fine-tuning for int8 that learns from the float network instead of from labels.

What has to be kept is what the float network says. Labels would teach the rounded network other
things as well, and on few photographs it would learn those by heart; its float twin tells it
nothing but what rounding took away. Only the deployed branch is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from erpose_edge.config import LossConfig
from erpose_edge.network.head import LevelOutputs
from erpose_edge.network.pose_network import predictions
from erpose_edge.quantization.fake_quantize import activation_quantizers
from erpose_edge.skeleton import Skeleton
from erpose_edge.training.losses import smooth_oks_loss
from erpose_edge.training.objective import Features
from erpose_edge.training.people import People

_FOUND = 0.1  # float score from which a grid point's keypoints count
_SMALLEST_PX = 8.0  # side of a person; where the keypoints nearly coincide, OKS has no scale


@dataclass(frozen=True)
class TwinOutputs:
    """What the rounded network and its float twin say of the same images."""

    rounded: LevelOutputs
    taught: LevelOutputs


class TwinGraph(nn.Module):
    """A fake-quantized network beside its float twin, behind the interface of the training loop.

    Args:
        network: Deployed branch, fake-quantized; it learns.
        twin: The same in float; it does not, and is no part of the state.
    """

    def __init__(self, network: fx.GraphModule, twin: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._twin = (twin.eval().requires_grad_(False),)  # a tuple is not registered

    def forward(self, images: Tensor, _: Features | None = None) -> TwinOutputs:
        """Return what both say of RGB images (B, 3, H, W) in [0, 1]."""
        if self.training:
            for quantizer in activation_quantizers(self.network).values():
                quantizer.follow_batch()
        twin = self._twin[0].to(images.device)
        with torch.no_grad():
            taught = twin(images)
        return TwinOutputs(self.network(images), taught)


class ImitationObjective:
    """How far the rounded network is from its twin: scores, poses by OKS, visibility.

    Grid points count by the twin's score, so that the image's people do and its background only
    for its scores.

    Args:
        weights: Of the three parts.
        skeleton: Its sigmas weigh keypoints.
        input_size: (height, width) of the training images, in pixels.
    """

    def __init__(
        self, weights: LossConfig, skeleton: Skeleton, input_size: tuple[int, int]
    ) -> None:
        self._weights = weights
        self._sigmas = torch.tensor(skeleton.sigmas)
        self._input_size = input_size

    def __call__(
        self, outputs: TwinOutputs, _people: People, _epoch: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the total loss and its parts; labels are not looked at."""
        own = predictions(outputs.rounded, self._input_size)
        taught = predictions(outputs.taught, self._input_size)
        belief = taught.scores.sigmoid()
        total = belief.sum().clamp_min(1.0)
        # The entropy of what is taught is subtracted: equal networks have no loss.
        score = _cross_entropy(own.scores, belief) - _cross_entropy(taught.scores, belief)
        found = belief > _FOUND
        share = belief[found] / total
        points = taught.keypoints[found]
        pose = smooth_oks_loss(
            own.keypoints[found],
            points,
            torch.ones(points.shape[:2], dtype=torch.bool, device=points.device),
            _area(points),
            self._sigmas.to(points.device),
            self._weights.smooth,
        )
        seen = taught.visibility[found].sigmoid()
        visibility = functional.binary_cross_entropy_with_logits(
            own.visibility[found], seen, reduction="none"
        ) - functional.binary_cross_entropy_with_logits(
            taught.visibility[found], seen, reduction="none"
        )
        parts = {
            "score": score.sum() / total,
            "pose": (share * pose).sum(),
            "visibility": (share * visibility.mean(1)).sum(),
        }
        loss = sum(getattr(self._weights, name) * part for name, part in parts.items())
        return loss, {f"twin_{name}": float(part.detach()) for name, part in parts.items()}


def _cross_entropy(logits: Tensor, belief: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, belief, reduction="none")


def _area(keypoints: Tensor) -> Tensor:
    """Return half the area of the box around keypoints (P, K, 2), about a person's, px^2 (P,)."""
    sides = (keypoints.amax(1) - keypoints.amin(1)).clamp_min(_SMALLEST_PX)
    return sides.prod(1) / 2
