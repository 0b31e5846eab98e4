"""Keypoint-driven head: a light score tower and a wider pose tower on every level.

Two branches learn side by side. The one-to-one branch has one grid point per person and is what
runs on a device, without NMS. The dense branch has many grid points per person, teaches the
features, and is dropped at export. They share the pose tower (so poses learn from dense
supervision) and have their own outputs; the one-to-one scores look at detached features, because
their wish for one winner per person works against the dense branch's wish for many.

Two switches make it the head of a box-driven network, to compare with: a box tower like the pose
tower, and the dense branch alone, which is then the deployed one under the deployed one's names.

Ref: dual branches: Wang et al., "YOLOv10", 2024, https://arxiv.org/abs/2405.14458. Sharing the
pose tower is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.plan import BOX_BINS, NetworkPlan

# One grid point in a hundred holds a person at the start: keeps the first score loss small.
_PRIOR = 0.01

LevelOutputs = tuple[list[Tensor], ...]  # scores, keypoints, visibility, and boxes if there are any


class PoseHead(nn.Module):
    """Scores, keypoint offsets and visibility on every level, and boxes where the plan has them.

    Per level, for an input of (B, C, H, W): score logits (B, 1, H, W); keypoint offsets
    (B, 2K, H, W) as x0, y0, x1, ... in units of two strides from the grid point; visibility logits
    (B, K, H, W); for every side of the box, left, top, right and bottom, the logits of its
    distances in strides (B, 4 * BOX_BINS, H, W).
    """

    def __init__(self, plan: NetworkPlan, *, activation: str) -> None:
        super().__init__()

        def light_tower(c_in: int, c_out: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(c_in, c_in, 3, groups=c_in, activation=activation),
                ConvBlock(c_in, c_out, activation=activation),
                ConvBlock(c_out, c_out, 3, groups=c_out, activation=activation),
                ConvBlock(c_out, c_out, activation=activation),
            )

        def dense_tower(c_in: int, c_out: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(c_in, c_out, 3, activation=activation),
                ConvBlock(c_out, c_out, 3, activation=activation),
            )

        def towers(tower: Callable[[int, int], nn.Sequential], width: int) -> nn.ModuleList:
            return nn.ModuleList(tower(c_in, width) for c_in in plan.neck_widths)

        def outputs(c_out: int, width: int = plan.head_width) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(width, c_out, 1) for _ in plan.neck_widths)

        def poses(per_keypoint: int) -> nn.ModuleList:
            return outputs(per_keypoint * plan.keypoints, plan.pose_width)

        pose_tower = light_tower if plan.pose_tower == "depthwise" else dense_tower
        self.one_to_one = plan.one_to_one
        self.score_tower = towers(light_tower, plan.head_width)
        self.pose_tower = towers(pose_tower, plan.pose_width)
        self.scores = outputs(1)
        self.keypoints = poses(2)
        self.visibility = poses(1)
        if plan.one_to_one:
            self.dense_score_tower = towers(light_tower, plan.head_width)
            self.dense_scores = outputs(1)
            self.dense_keypoints = poses(2)
            self.dense_visibility = poses(1)
        self.box_tower = towers(dense_tower, plan.head_width) if plan.boxes else None
        if plan.boxes:
            self.boxes = outputs(4 * BOX_BINS)
            if plan.one_to_one:
                self.dense_boxes = outputs(4 * BOX_BINS)
        self._start_from_prior()

    def _start_from_prior(self) -> None:
        logit = -math.log((1 - _PRIOR) / _PRIOR)
        for name, module in self.named_modules():
            kind = name.split(".")[0].removeprefix("dense_")
            if kind in ("scores", "keypoints", "boxes") and isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.constant_(module.bias, logit if kind == "scores" else 0.0)  # type: ignore[arg-type]

    def forward(self, features: tuple[Tensor, ...]) -> LevelOutputs:
        """Return what is deployed: scores, keypoints, visibility and boxes, a tensor per level."""
        return self._branch("", features, *self._towers(features))

    def forward_both(
        self, features: tuple[Tensor, ...]
    ) -> tuple[LevelOutputs | None, LevelOutputs]:
        """Return the one-to-one (None where there is none) and the dense branch, for training."""
        towers = self._towers(features)
        if not self.one_to_one:
            return None, self._branch("", features, *towers)
        one_to_one = self._branch("", tuple(f.detach() for f in features), *towers)
        return one_to_one, self._branch("dense_", features, *towers)

    def _towers(self, features: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor] | None]:
        """Return the features of poses and of boxes, which all branches share."""
        poses = _each(self.pose_tower, features)
        return poses, None if self.box_tower is None else _each(self.box_tower, features)

    def _branch(
        self,
        prefix: str,
        features: tuple[Tensor, ...],
        poses: list[Tensor],
        boxes: list[Tensor] | None,
    ) -> LevelOutputs:
        """Return the outputs of the branch whose modules' names begin with ``prefix``."""

        def outputs(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
            return _each(getattr(self, prefix + name), inputs)

        levels = (
            outputs("scores", outputs("score_tower", features)),
            outputs("keypoints", poses),
            outputs("visibility", poses),
        )
        return levels if boxes is None else (*levels, outputs("boxes", boxes))


def _each(modules: nn.ModuleList, inputs: Sequence[Tensor]) -> list[Tensor]:
    return [module(x) for module, x in zip(modules, inputs, strict=True)]
