"""Keypoint-driven head: a light score tower and a wider pose tower on every level, no box branch.

Two branches learn side by side. The one-to-one branch has one grid point per person and is what
runs on a device, without NMS. The dense branch has many grid points per person, teaches the
features, and is dropped at export. They share the pose tower (so poses learn from dense
supervision) and have their own outputs; the one-to-one scores look at detached features, because
their wish for one winner per person works against the dense branch's wish for many.

Ref: dual branches: Wang et al., "YOLOv10", 2024, https://arxiv.org/abs/2405.14458. Sharing the
pose tower is ours.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.plan import NetworkPlan

# One grid point in a hundred holds a person at the start: keeps the first score loss small.
_PRIOR = 0.01

LevelOutputs = tuple[list[Tensor], list[Tensor], list[Tensor]]


class PoseHead(nn.Module):
    """Scores, keypoint offsets and visibility on every level.

    Per level, for an input of (B, C, H, W): score logits (B, 1, H, W); keypoint offsets
    (B, 2K, H, W) as x0, y0, x1, ... in half strides from the grid point; visibility logits
    (B, K, H, W).
    """

    def __init__(self, plan: NetworkPlan, *, activation: str) -> None:
        super().__init__()
        hidden, channels = plan.head_width, plan.widths[2:]

        def score_tower(c_in: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(c_in, c_in, 3, groups=c_in, activation=activation),
                ConvBlock(c_in, hidden, activation=activation),
                ConvBlock(hidden, hidden, 3, groups=hidden, activation=activation),
                ConvBlock(hidden, hidden, activation=activation),
            )

        def pose_tower(c_in: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(c_in, hidden, 3, activation=activation),
                ConvBlock(hidden, hidden, 3, activation=activation),
            )

        def outputs(c_out: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(hidden, c_out, 1) for _ in channels)

        self.score_tower = nn.ModuleList(score_tower(c) for c in channels)
        self.pose_tower = nn.ModuleList(pose_tower(c) for c in channels)
        self.scores = outputs(1)
        self.keypoints = outputs(2 * plan.keypoints)
        self.visibility = outputs(plan.keypoints)
        self.dense_score_tower = nn.ModuleList(score_tower(c) for c in channels)
        self.dense_scores = outputs(1)
        self.dense_keypoints = outputs(2 * plan.keypoints)
        self.dense_visibility = outputs(plan.keypoints)
        self._start_from_prior()

    def _start_from_prior(self) -> None:
        logit = -math.log((1 - _PRIOR) / _PRIOR)
        for conv in (*self.scores, *self.dense_scores):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.constant_(conv.bias, logit)
        for conv in (*self.keypoints, *self.dense_keypoints):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, features: tuple[Tensor, ...]) -> LevelOutputs:
        """Return the one-to-one branch's scores, keypoints and visibility, a tensor per level."""
        poses = [tower(f) for tower, f in zip(self.pose_tower, features, strict=True)]
        return self._one_to_one(features, poses)

    def forward_both(self, features: tuple[Tensor, ...]) -> tuple[LevelOutputs, LevelOutputs]:
        """Return the one-to-one and the dense branch, for training."""
        poses = [tower(f) for tower, f in zip(self.pose_tower, features, strict=True)]
        one_to_one = self._one_to_one(tuple(f.detach() for f in features), poses)
        towers = zip(self.dense_score_tower, self.dense_scores, features, strict=True)
        dense = (
            [out(tower(f)) for tower, out, f in towers],
            [out(p) for out, p in zip(self.dense_keypoints, poses, strict=True)],
            [out(p) for out, p in zip(self.dense_visibility, poses, strict=True)],
        )
        return one_to_one, dense

    def _one_to_one(self, features: tuple[Tensor, ...], poses: list[Tensor]) -> LevelOutputs:
        towers = zip(self.score_tower, self.scores, features, strict=True)
        return (
            [out(tower(f)) for tower, out, f in towers],
            [out(p) for out, p in zip(self.keypoints, poses, strict=True)],
            [out(p) for out, p in zip(self.visibility, poses, strict=True)],
        )
