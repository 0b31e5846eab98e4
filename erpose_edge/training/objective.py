"""What training minimises: both branches' losses, and the network that computes them."""

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
from erpose_edge.training.losses import BranchLoss, branch_loss
from erpose_edge.training.people import People
from erpose_edge.training.teacher import Imitation


@dataclass(frozen=True)
class TrainingOutputs:
    """What the network says in training; ``believed`` is None without a teacher."""

    one_to_one: LevelOutputs
    dense: LevelOutputs
    believed: tuple[Tensor, Tensor, Tensor] | None


class TrainingNetwork(nn.Module):
    """An `ERPose` with both branches, and its view of the teacher's features.

    A module of its own, so that a distributed run wraps one forward pass.
    """

    def __init__(self, network: ERPose, *, imitates: bool) -> None:
        super().__init__()
        self.network = network
        self.imitation = Imitation(network.plan) if imitates else None

    def forward(self, images: Tensor) -> TrainingOutputs:
        """Return both branches for RGB images (B, 3, H, W) in [0, 1]."""
        backbone = self.network.backbone(images)
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
        mean_over_processes: See `branch_loss`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        skeleton: Skeleton,
        input_size: tuple[int, int],
        mean_over_processes: Callable[[Tensor], Tensor],
    ) -> None:
        self._config = config
        self._input_size = input_size
        self._sigmas = torch.tensor(skeleton.sigmas)
        self._points, self._strides = grid_points(input_size)
        self._mean = mean_over_processes

    def __call__(
        self, outputs: TrainingOutputs, people: People, epoch: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the total loss and its parts.

        Args:
            outputs: Of the `TrainingNetwork`.
            people: Labels.
            epoch: Epochs so far, with the fraction of this one; the cold-start prior fades by it.
        """
        rules = self._config.assignment
        prior = max(0.0, 1 - epoch / rules.prior_epochs) if rules.prior_epochs else 0.0
        total = torch.zeros(())
        parts: dict[str, float] = {}
        for name, levels, topk in (
            ("one_to_one", outputs.one_to_one, 1),
            ("dense", outputs.dense, rules.topk),
        ):
            branch = predictions(levels, self._input_size)
            loss = self._branch(
                branch, people, AssignmentRule(topk, rules.alpha, rules.beta, prior)
            )
            weights = self._config.loss
            total = total.to(loss.score.device) + (
                weights.score * loss.score
                + weights.pose * loss.pose
                + weights.visibility * loss.visibility
            )
            for part in ("score", "pose", "visibility"):
                parts[f"{name}_{part}"] = float(getattr(loss, part).detach())
        return total, parts

    def _branch(self, branch: Predictions, people: People, rule: AssignmentRule) -> BranchLoss:
        device = branch.scores.device
        points, strides, sigmas = (
            t.to(device) for t in (self._points, self._strides, self._sigmas)
        )
        assignment = assign(branch, people, points, strides, sigmas, rule)
        return branch_loss(branch, assignment, people, sigmas, self._config.loss.smooth, self._mean)
