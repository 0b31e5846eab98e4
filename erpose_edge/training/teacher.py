"""A teacher to imitate: MoveNet MultiPose, read from its TFLite file and run by OpenVINO.

The teacher looks at the very images that the network is trained on (mosaics included) and says,
densely, where keypoints and people's centres are and which features it sees. That teaches a small
network far more per image than the labels of a few thousand photographs do.

Only features and heat maps are read here, never weights. Ref: imitating features: Romero et al.,
"FitNets", 2014, https://arxiv.org/abs/1412.6550
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from erpose_edge.errors import WeightsError
from erpose_edge.network.plan import NetworkPlan
from erpose_edge.training.movenet import read_movenet
from erpose_edge.training.on_openvino import compile_model

if TYPE_CHECKING:
    from openvino import CompiledModel, Model, Node

_FINE, _HEAT, _CENTRE, _WIDE, _DEEP = 24, 17, 1, 144, 480  # channels of what is imitated
_HEAT_WEIGHT = 20.0  # a cell of a keypoint weighs this much more than background


Seen = tuple[Tensor, Tensor, Tensor, Tensor]


class Teacher:
    """MoveNet MultiPose, cut where its heads begin.

    Args:
        path: The ``.tflite`` file.
        bf16: Compute in bfloat16, for processors that are fast at it.

    Raises:
        WeightsError: The file is not MoveNet MultiPose.
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, path: Path, *, bf16: bool) -> None:
        self._path = path
        self._bf16 = bf16
        self._model = read_movenet(path, "training.teacher.weights")
        self._compiled: dict[tuple[int, ...], CompiledModel] = {}

    def __call__(self, images: Tensor) -> Seen:
        """Look at images.

        Args:
            images: BGR uint8 (B, H, W, 3).

        Returns:
            Fine features (B, 24, H/4, W/4); heat maps in [0, 1] of 17 keypoints and of people's
            centres (B, 18, H/4, W/4); features (B, 144, H/16, W/16) and (B, 480, H/32, W/32).
        """
        shape = tuple(images.shape)
        if shape not in self._compiled:
            self._compiled[shape] = compile_model(self._cut(shape), bf16=self._bf16)
        found = self._compiled[shape](images.flip(-1).contiguous().numpy())
        fine, heat, centre, wide, deep = (torch.from_numpy(found[i].copy()) for i in range(5))
        return fine.relu(), torch.cat([heat, centre], 1), wide, deep

    def _cut(self, shape: tuple[int, ...]) -> Model:
        """Return the teacher up to its heads, for images of ``shape``."""
        import openvino

        model = self._model.clone()
        nodes = model.get_ordered_ops()

        def last(kind: str, channels: int) -> Node:
            for node in reversed(nodes):
                if not node.get_output_size():
                    continue
                out = node.get_output_partial_shape(0)
                is_map = out.rank.is_static and out.rank.get_length() == 4
                if node.get_type_name() == kind and is_map and str(out[1]) == str(channels):
                    return node
            raise WeightsError(
                f"training.teacher.weights {self._path}: expected MoveNet MultiPose, got a network "
                f"without a {kind} of {channels} channels"
            )

        fine = next(iter(last("Convolution", _FINE).output(0).get_target_inputs())).get_node()
        wanted = (
            fine,
            last("Sigmoid", _HEAT),
            last("Sigmoid", _CENTRE),
            last("Add", _WIDE),
            last("Add", _DEEP),
        )
        cut = openvino.Model([n.output(0) for n in wanted], model.get_parameters(), "teacher")
        cut.reshape({0: list(shape)})
        return cut


class Imitation(nn.Module):
    """1x1 convolutions from the network's features to the teacher's; dropped after training."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        _, _, _, w16, w32 = plan.widths
        self.fine = nn.Conv2d(plan.neck_widths[0], 4 * (_FINE + _HEAT + _CENTRE), 1)
        self.wide = nn.Conv2d(w16, _WIDE, 1)
        self.deep = nn.Conv2d(w32, _DEEP, 1)
        nn.init.constant_(self.fine.bias, -2.0)  # type: ignore[arg-type]

    def forward(
        self, backbone: tuple[Tensor, ...], neck: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the network believes the teacher sees, at strides 4, 16 and 32."""
        fine = functional.pixel_shuffle(self.fine(neck[0]), 2)
        return fine, self.wide(backbone[1]), self.deep(backbone[2])


def imitation_loss(believed: tuple[Tensor, Tensor, Tensor], seen: Seen) -> Tensor:
    """Return how far ``believed`` (of `Imitation`) is from ``seen`` (of `Teacher`).

    Heat maps: binary cross-entropy, keypoints and centres weighing more than background.
    Features: squared error over the teacher's variance per channel, so every channel counts.
    """
    fine, heat, wide, deep = seen
    ours_fine, ours_heat = believed[0].float().split([fine.shape[1], heat.shape[1]], 1)
    entropy = functional.binary_cross_entropy_with_logits(ours_heat, heat, reduction="none")
    loss = (entropy * (1 + _HEAT_WEIGHT * heat)).mean() * 10
    for ours, theirs in ((ours_fine, fine), (believed[1], wide), (believed[2], deep)):
        variance = theirs.var((0, 2, 3), keepdim=True) + 1e-3
        loss = loss + ((ours.float() - theirs).square() / variance).mean() / 3
    return loss
