"""What training minimises: every branch's losses, and the network that computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from erpose_edge.config import TrainingConfig
from erpose_edge.network.decode import grid_points
from erpose_edge.network.head import LevelOutputs
from erpose_edge.network.pose_network import ERPose, Predictions, predictions
from erpose_edge.skeleton import Skeleton
from erpose_edge.training.assignment import AssignmentRule, assign
from erpose_edge.training.box_assignment import assign_by_boxes
from erpose_edge.training.box_losses import box_loss
from erpose_edge.training.losses import branch_loss
from erpose_edge.training.people import People
from erpose_edge.training.teacher import Imitation

Features = tuple[Tensor, Tensor, Tensor]  # of the backbone, at strides 8, 16, 32


@dataclass(frozen=True)
class TrainingOutputs:
    """What the network says in training.

    Attributes:
        one_to_one: None where the network has the dense branch alone.
        dense: The branch with many grid points per person.
        believed: Of the teacher's features; None without a teacher.
    """

    one_to_one: LevelOutputs | None
    dense: LevelOutputs
    believed: tuple[Tensor, Tensor, Tensor] | None


class TrainingNetwork(nn.Module):
    """An `ERPose` with all its branches, and its view of the teacher's features.

    A module of its own, so that a distributed run wraps one forward pass.
    """

    def __init__(self, network: ERPose, *, imitates: bool) -> None:
        super().__init__()
        self.network = network
        self.imitation = Imitation(network.plan) if imitates else None

    def forward(self, images: Tensor, features: Features | None = None) -> TrainingOutputs:
        """Return all branches.

        Args:
            images: RGB (B, 3, H, W) in [0, 1].
            features: Of the backbone, where it is frozen and was run ahead.
        """
        backbone = self.network.backbone(images) if features is None else features
        neck = self.network.neck(backbone)
        one_to_one, dense = self.network.head.forward_both(neck)
        believed = None if self.imitation is None else self.imitation(backbone, neck)
        return TrainingOutputs(one_to_one, dense, believed)


class Objective:
    """The loss of a batch.

    Args:
        config: Weights of the losses and rules of the assignment.
        skeleton: Its sigmas weigh keypoints.
        input_size: (height, width) of the training images, in pixels.
        normaliser: See `branch_loss`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        normaliser: Callable[[Tensor], Tensor],
    ) -> None:
        self._config = config
        self._input_size = input_size
        self._sigmas = torch.tensor(skeleton.sigmas)
        self._points, self._strides = grid_points(input_size)
        self._normaliser = normaliser

    def __call__(
        self, outputs: TrainingOutputs, people: People, epoch: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the total loss and its parts.

        Args:
            outputs: Of the `TrainingNetwork`.
            people: Labels.
            epoch: Epochs so far, with the fraction of this one; the cold-start prior fades by it.
        """
        rules, weights = self._config.assignment, self._config.loss
        prior = max(0.0, 1 - epoch / rules.prior_epochs) if rules.prior_epochs else 0.0
        total = torch.zeros(())
        parts: dict[str, float] = {}
        for name, levels, topk in (
            ("one_to_one", outputs.one_to_one, 1),
            ("dense", outputs.dense, rules.topk),
        ):
            if levels is None:
                continue
            branch = predictions(levels, self._input_size)
            losses = self._branch(
                branch, people, AssignmentRule(topk, rules.alpha, rules.beta, prior, rules.contrast)
            )
            for part, loss in losses.items():
                total = total.to(loss.device) + getattr(weights, part) * loss
                parts[f"{name}_{part}"] = float(loss.detach())
        return total, parts

    def _branch(
        self, branch: Predictions, people: People, rule: AssignmentRule
    ) -> dict[str, Tensor]:
        """Return the parts of one branch's loss under the names of their weights."""
        device = branch.scores.device
        points, strides, sigmas = (
            t.to(device) for t in (self._points, self._strides, self._sigmas)
        )
        if self._config.assignment.metric == "box":
            assignment = assign_by_boxes(branch, people, points, rule)
        else:
            assignment = assign(branch, people, points, strides, sigmas, rule)
        smooth = self._config.loss.smooth
        loss = branch_loss(branch, assignment, people, sigmas, smooth, self._normaliser)
        parts = {"score": loss.score, "pose": loss.pose, "visibility": loss.visibility}
        if branch.boxes is not None and branch.bins is not None:
            grid = (points, strides)
            boxes = box_loss(branch.boxes, branch.bins, assignment, people, grid, self._normaliser)
            parts |= {"box": boxes.box, "dfl": boxes.dfl}
        return parts
